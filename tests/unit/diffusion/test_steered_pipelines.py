"""`pipe(..., latents=golden(pipe, prompt))` where a pipeline does more: inpainting, IP-Adapter, callbacks."""

from typing import Any

import pytest
import torch
from diffusers import (
    ControlNetModel,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxInpaintPipeline,
    SD3ControlNetModel,
    StableDiffusion3ControlNetPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
)
from diffusers.models.embeddings import ImageProjection
from tiny import NUM_TOKENS, TEXT_DIM, tiny_pipeline, tiny_unet, tiny_xl_pipeline
from tiny_flows import tiny_flux_pipeline, tiny_sd3_pipeline
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection
from unit.test_api import ARCHITECTURE, CONFIG, _generator, _network

from goldennoise import GoldenNoise, re_denoise
from goldennoise.errors import ModelError
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig

PROMPT = "a red circle"
IMAGE_DIM = 8
SAMPLING: dict[str, Any] = {"num_inference_steps": 3, "output_type": "pt"}


def golden_of(pipe: Any, width: int = TEXT_DIM) -> torch.Tensor:
    network = _network(NPNetConfig(CONFIG.latent_shape, NUM_TOKENS, width, ARCHITECTURE))
    return GoldenNoise(network)(pipe, PROMPT, generator=_generator())


def started_from(pipe: Any, latents: torch.Tensor, **arguments: Any) -> torch.Tensor:
    """The image, after a check that the pipeline's first step was called with `latents`."""
    asked: list[torch.Tensor] = []
    hook = pipe.unet.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    image = pipe(PROMPT, latents=latents, generator=_generator(), **SAMPLING, **arguments).images
    hook.remove()
    assert torch.equal(asked[0][:1, : latents.shape[1]], latents)
    return image


def painted() -> dict[str, torch.Tensor]:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 16:] = 1
    return {"image": torch.rand(1, 3, 32, 32, generator=_generator()), "mask_image": mask, "strength": 1.0}


@pytest.mark.parametrize("in_channels", [4, 9])
def test_inpainting(in_channels: int) -> None:
    parts = tiny_pipeline().components
    if in_channels == 9:
        parts["unet"] = tiny_unet(in_channels=9)
    pipe: Any = StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    source = torch.randn(1, 4, 8, 8, generator=_generator())
    golden = golden_of(pipe)
    assert not torch.allclose(golden, source, atol=0.1)
    assert (started_from(pipe, golden, **painted()) - started_from(pipe, source, **painted())).abs().max() > 1e-3
    if in_channels == 9:
        with pytest.raises(ModelError, match="needs a mask at every step"):
            re_denoise(pipe, PROMPT)
    else:
        assert re_denoise(pipe, PROMPT, latents=source).shape == source.shape


def test_inpainting_with_sdxl() -> None:
    parts = tiny_xl_pipeline().components
    pipe: Any = StableDiffusionXLInpaintPipeline(**parts, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    assert started_from(pipe, golden_of(pipe, TEXT_DIM + 8), **painted()).shape == (1, 3, 32, 32)


def test_inpainting_pipelines_that_take_no_noise_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"FluxInpaintPipeline is not supported: .* Stable Diffusion or SDXL that inpaints"
    ):
        re_denoise(FluxInpaintPipeline(**tiny_flux_pipeline().components), PROMPT)


def test_an_ip_adapter() -> None:
    pipe = tiny_pipeline()
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, projection_dim=IMAGE_DIM, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=8,
    )  # fmt: skip
    pipe.register_modules(
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        feature_extractor=CLIPImageProcessor(crop_size=32, size=32),
    )
    pipe.unet._load_ip_adapter_weights([adapter_of(pipe.unet)])
    golden = golden_of(pipe)
    pictures = [torch.rand(1, 3, 32, 32, generator=_generator(seed)) for seed in (1, 2)]
    first, second = (started_from(pipe, golden, ip_adapter_image=picture) for picture in pictures)
    assert (first - second).abs().max() > 1e-3
    with pytest.raises(ModelError, match="needs the image of an IP-Adapter at every step"):
        re_denoise(pipe, PROMPT)


@pytest.mark.parametrize(
    ("make", "name"), [(tiny_flux_pipeline, "encoder_hid_proj"), (tiny_sd3_pipeline, "image_proj")]
)
def test_an_ip_adapter_of_a_transformer_is_named(make: Any, name: str) -> None:
    pipe = make()
    # As diffusers' loaders leave the network; the projection itself is never reached.
    setattr(pipe.transformer, name, torch.nn.Identity())
    if name == "encoder_hid_proj":
        pipe.transformer.register_to_config(encoder_hid_dim_type="ip_image_proj")
    with pytest.raises(ModelError, match="Transformer2DModel needs the image of an IP-Adapter at every step"):
        re_denoise(pipe, PROMPT)


@pytest.mark.parametrize(
    ("make", "steered", "network"),
    [
        (tiny_flux_pipeline, FluxControlNetPipeline, FluxControlNetModel),
        (tiny_sd3_pipeline, StableDiffusion3ControlNetPipeline, SD3ControlNetModel),
    ],
)
def test_a_controlnet_of_a_transformer(make: Any, steered: Any, network: Any) -> None:
    plain = make()
    controlnet = network.from_transformer(plain.transformer, load_weights_from_transformer=False)
    pipe = steered(**plain.components, controlnet=controlnet)
    source = torch.randn(1, 4, 8, 8, generator=_generator())
    golden = re_denoise(pipe, PROMPT, latents=source, num_steps=2)
    assert torch.equal(golden, re_denoise(plain, PROMPT, latents=source, num_steps=2))


def adapter_of(unet: Any) -> dict[str, dict[str, torch.Tensor]]:
    """Random weights in the layout of a published adapter: one key and value projection for every cross-attention."""
    generator = _generator()
    layers = {}
    for number, name in enumerate(name for name in unet.attn_processors if name.endswith("attn2.processor")):
        width = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
        for projection in ("to_k_ip", "to_v_ip"):
            key = f"{2 * number + 1}.{projection}.weight"
            layers[key] = torch.randn(width, TEXT_DIM, generator=generator)
    projection = ImageProjection(cross_attention_dim=TEXT_DIM, image_embed_dim=IMAGE_DIM, num_image_text_embeds=4)
    names = {"image_embeds.weight": "proj.weight", "image_embeds.bias": "proj.bias"}
    stored = {names.get(name, name): tensor for name, tensor in projection.state_dict().items()}
    return {"image_proj": stored, "ip_adapter": layers}


def test_callbacks() -> None:
    pipe = tiny_pipeline()
    golden = golden_of(pipe)
    seen: list[torch.Tensor] = []

    def remember(_: Any, step: int, timestep: Any, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:  # noqa: ARG001
        seen.append(given["latents"])
        return given

    expected = started_from(pipe, golden)
    assert torch.equal(started_from(pipe, golden, callback_on_step_end=remember), expected)
    assert len(seen) == 3


def test_inpainting_with_a_controlnet() -> None:
    parts = tiny_pipeline().components
    controlnet = ControlNetModel.from_unet(parts["unet"], conditioning_embedding_out_channels=(8, 8, 8))
    pipe: Any = StableDiffusionControlNetInpaintPipeline(**parts, controlnet=controlnet, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    control = torch.rand(1, 3, 32, 32, generator=_generator(3))
    assert started_from(pipe, golden_of(pipe), control_image=control, **painted()).shape == (1, 3, 32, 32)
