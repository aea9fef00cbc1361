"""What saves memory or time leaves images as they are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_flows import tiny_flux_pipeline

from goldennoise.diffusion import families, setup
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ConfigError, ModelError
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a green ring"]


def images_of(model: Any) -> torch.Tensor:
    noise = gaussian_noise(model.latent_shape, range(3)).to(model.dtype)
    with torch.no_grad():
        return model.decode(model.sample(SamplingPlan(noise, num_steps=2), model.encode(PROMPTS)))


@pytest.mark.parametrize("pipeline", [tiny_pipeline, tiny_xl_pipeline])
@pytest.mark.parametrize(
    "options",
    [
        {"channels_last": True},
        {"decode_batch_size": 1},
        {"decode_batch_size": 2},
        {"channels_last": True, "decode_batch_size": 2},
    ],
)
def test_images_stay_as_they_are(pipeline: Any, options: dict[str, Any]) -> None:
    expected = images_of(from_pipeline(pipeline()))
    model = from_pipeline(pipeline())
    model.run_with(ComputeConfig(**options), torch.device("cpu"))
    torch.testing.assert_close(images_of(model), expected, rtol=0, atol=1e-5)


def test_what_was_asked_for_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny_pipeline()
    model = from_pipeline(pipe)
    decoded: list[int] = []
    decode = pipe.vae.decode
    monkeypatch.setattr(pipe.vae, "decode", lambda z, **options: decoded.append(len(z)) or decode(z, **options))
    model.run_with(ComputeConfig(channels_last=True, decode_batch_size=2), torch.device("cpu"))
    images_of(model)
    assert decoded == [2, 1]
    assert pipe.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert pipe.vae.decoder.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def test_attention_backends_of_a_transformer() -> None:
    expected = images_of(from_pipeline(tiny_flux_pipeline()))
    pipe = tiny_flux_pipeline()
    model = from_pipeline(pipe)
    before = _AttentionBackendRegistry.get_active_backend()
    model.run_with(ComputeConfig(attention="_native_math"), torch.device("cpu"))
    assert pipe.transformer.transformer_blocks[0].attn.processor._attention_backend == "_native_math"
    assert _AttentionBackendRegistry.get_active_backend() == before
    torch.testing.assert_close(images_of(model), expected, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match=r"^compute.attention=xformers: FluxTransformer2DModel cannot run it here"):
        model.run_with(ComputeConfig(attention="xformers"), torch.device("cpu"))


def test_attention_in_8_bits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^attention=sage: attention must be null or one of native, "):
        ComputeConfig(attention="sage")


def test_tiles_are_what_the_vae_makes_of_them(tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path)
    family = families.component("stable_diffusion")
    config = family.Config(path=str(tmp_path), vae_tiling=True, height=96, width=64)
    tiled = family.build(config, torch.device("cpu"))
    latents = gaussian_noise((4, 24, 16), [0])
    pipe.vae.enable_tiling()
    expected = (pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
    with torch.no_grad():
        torch.testing.assert_close(tiled.decode(latents), expected, rtol=0, atol=1e-5)
        whole = from_pipeline(tiny_pipeline()).decode(latents)
    assert (tiled.decode(latents) - whole).abs().max() > 1e-3


def test_a_vae_without_tiles_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^model.vae_tiling=true: a Identity decodes whole images only; set false$"):
        setup.enable_tiling(torch.nn.Identity())


def test_what_a_model_does_not_have_is_refused(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    config = families.component("stable_diffusion").Config(path=str(tmp_path))
    with pytest.raises(ConfigError, match="a UNet2DConditionModel has torch's attention alone; set null"):
        setup.load(config, ComputeConfig(attention="flash"))


def test_offloading_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^offload=True: offload must be false on cpu$"):
        ComputeConfig(device="cpu", offload=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^compute.offload=true: networks wait on the CPU for a GPU"):
        ComputeConfig(offload=True).torch_device()


def test_an_offloaded_model_is_built_on_the_cpu_and_every_network_takes_its_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a GPU the turns themselves cannot be watched: only what diffusers is asked for."""
    pipe = tiny_xl_pipeline()
    pipe.vae.register_to_config(force_upcast=True)
    pipe.save_pretrained(tmp_path)
    hooked: list[tuple[torch.device, torch.dtype]] = []
    freed: list[bool] = []
    monkeypatch.setattr(
        type(pipe), "enable_model_cpu_offload", lambda self, device: hooked.append((device, self.vae.dtype))
    )
    monkeypatch.setattr(type(pipe), "maybe_free_model_hooks", lambda _: freed.append(True))
    monkeypatch.setattr(ComputeConfig, "torch_device", lambda _: torch.device("cuda", 1))
    config = families.component("stable_diffusion_xl").Config(path=str(tmp_path), dtype="float16")
    model = setup.load(config, ComputeConfig(offload=True))
    assert hooked == [(torch.device("cuda", 1), torch.float32)]  # the copy that decodes, not the original
    assert model._network.device == torch.device("cpu")
    with torch.no_grad():
        model.decode(gaussian_noise((4, 8, 8), [0]))
    assert freed == [True]
    model.encode(["a cat"])  # where nothing was decoded the denoiser is still there
    assert freed == [True, True]
    model.decode(gaussian_noise((4, 8, 8), [0]).requires_grad_())  # a gradient may go back through the decoder
    assert freed == [True, True]


@pytest.mark.slow
def test_a_compiled_denoiser_gives_the_same_images() -> None:
    expected = images_of(from_pipeline(tiny_pipeline()))
    model = from_pipeline(tiny_pipeline())
    model.run_with(ComputeConfig(compile=True), torch.device("cpu"))
    torch.testing.assert_close(images_of(model), expected, rtol=0, atol=1e-4)
