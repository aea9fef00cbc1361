import inspect
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import NUM_TOKENS, TEXT_DIM, tiny_pipeline, tiny_xl_pipeline
from tiny_flows import FLOWS, tiny_flux_pipeline, tiny_sana_pipeline
from tiny_transformers import TRANSFORMERS

import goldennoise
from goldennoise import GoldenNoise, load_npnet, re_denoise
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.re_denoise import re_denoise as re_denoise_model
from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.checkpoint import save_npnet
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.npnet.network import build as seeded_npnet

PROMPTS = ["a red circle", "two blue squares"]
ARCHITECTURE = ArchitectureConfig(
    image_size=16, patch_size=2, window=4, embed_dim=8, depths=(1, 1), heads=(1, 2), vector_hidden=4, value_hidden=4
)
CONFIG = NPNetConfig((4, 8, 8), NUM_TOKENS, TEXT_DIM, ARCHITECTURE)


def _network(config: NPNetConfig = CONFIG) -> NPNet:
    network = seeded_npnet(config, seed=0)
    with torch.no_grad():
        network.alpha.fill_(1.0)
        network.beta.fill_(1.0)
    return network


def _generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return tiny_pipeline()


@pytest.fixture
def drawn(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Initial noise the pipeline itself draws, call by call."""
    seen: list[torch.Tensor] = []
    prepare = pipe.prepare_latents

    def remember(*arguments: Any, **options: Any) -> torch.Tensor:
        seen.append(prepare(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(pipe, "prepare_latents", remember)
    return seen


def test_golden_noise_is_the_network_on_the_noise_the_pipeline_would_draw(pipe: Any, drawn: list[torch.Tensor]) -> None:
    network = _network()
    latents = GoldenNoise(network)(pipe, PROMPTS, generator=_generator())
    pipe(PROMPTS, generator=_generator(), num_inference_steps=1, output_type="latent")
    embeds = pipe.encode_prompt(PROMPTS, "cpu", 1, False)[0]
    assert torch.equal(latents, network.eval()(drawn[0], embeds))
    assert not latents.requires_grad
    assert not torch.allclose(latents, drawn[0], atol=0.1)
    images = pipe(PROMPTS, latents=latents, num_inference_steps=1, output_type="np").images
    assert images.shape == (2, 32, 32, 3)


def test_one_generator_per_prompt(pipe: Any) -> None:
    golden = GoldenNoise(_network())
    together = golden(pipe, PROMPTS, generator=[_generator(1), _generator(2)])
    for row, prompt in enumerate(PROMPTS):
        alone = golden(pipe, prompt, generator=_generator(row + 1))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-4)


def test_given_latents_are_the_source_noise(pipe: Any) -> None:
    golden = GoldenNoise(_network())
    source = torch.randn(2, 4, 8, 8, generator=_generator())
    assert torch.equal(golden(pipe, PROMPTS, latents=source), golden(pipe, PROMPTS, generator=_generator()))


def test_height_and_width_in_pixels(pipe: Any) -> None:
    golden = GoldenNoise(_network(replace(CONFIG, latent_shape=(4, 8, 16))))
    assert golden(pipe, "a ring", generator=_generator(), width=64).shape == (1, 4, 8, 16)
    source = torch.randn(1, 4, 8, 16, generator=_generator())
    assert torch.equal(golden(pipe, "a ring", latents=source), golden(pipe, "a ring", generator=_generator(), width=64))
    with pytest.raises(ModelError, match=r"takes noise \(B, 4, 8, 16\)"):
        golden(pipe, "a ring", latents=source[..., :8], width=64)
    with pytest.raises(ConfigError, match="height=30: height must be a multiple of 4 px"):
        golden(pipe, "a ring", height=30)


def test_result_has_the_dtype_of_the_pipeline() -> None:
    half: Any = tiny_pipeline()
    half.to(torch.bfloat16)
    assert GoldenNoise(_network())(half, "a ring").dtype == torch.bfloat16
    assert re_denoise(half, "a ring", num_steps=2).dtype == torch.bfloat16


def test_from_pretrained_and_load_npnet_read_an_artifact(pipe: Any, tmp_path: Path) -> None:
    network = _network()
    save_npnet(network, tmp_path / "v1", {})
    assert load_npnet(str(tmp_path / "v1")).config == CONFIG
    loaded = GoldenNoise.from_pretrained(str(tmp_path / "v1"))
    expected = GoldenNoise(network)(pipe, PROMPTS, generator=_generator())
    assert torch.equal(loaded(pipe, PROMPTS, generator=_generator()), expected)
    with pytest.raises(ModelError, match="does not exist"):
        GoldenNoise.from_pretrained(str(tmp_path / "v2"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(CONFIG, latent_shape=(4, 16, 16)), r"latents \(4, 16, 16\), but the noise has \(4, 8, 8\)"),
        (replace(CONFIG, text_dim=32), "77 tokens x 32, but the pipeline gives 77 x 16"),
        (replace(CONFIG, num_tokens=16), "16 tokens x 16, but the pipeline gives 77 x 16"),
    ],
)
def test_a_network_of_another_model_is_refused(pipe: Any, config: NPNetConfig, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        GoldenNoise(_network(config))(pipe, "a ring")


def test_re_denoise_passes_every_option_on(pipe: Any, drawn: list[torch.Tensor]) -> None:
    options = {"denoise_guidance": 4.0, "invert_guidance": 2.0, "num_steps": 6, "num_rounds": 2, "depth": 3}
    golden = re_denoise(pipe, PROMPTS, generator=_generator(), **options)  # type: ignore[arg-type]
    pipe(PROMPTS, generator=_generator(), num_inference_steps=1, output_type="latent")
    model = from_pipeline(pipe)
    expected = re_denoise_model(model, drawn[0], model.encode(PROMPTS), **options)  # type: ignore[arg-type]
    assert torch.equal(golden, expected)
    assert not torch.allclose(golden, drawn[0], atol=1e-3)
    assert torch.equal(re_denoise(pipe, PROMPTS, latents=drawn[0], **options), golden)  # type: ignore[arg-type]


def test_re_denoise_leads_away_from_a_negative_prompt(pipe: Any) -> None:
    source = torch.randn(2, 4, 8, 8, generator=_generator())
    model = from_pipeline(pipe)
    cond, uncond = pipe.encode_prompt(PROMPTS, "cpu", 1, True, negative_prompt=["a dark picture"] * 2)
    expected = re_denoise_model(model, source, PromptEmbedding(cond, uncond, {}), **EXACT)
    golden = re_denoise(pipe, PROMPTS, latents=source, num_steps=2, negative_prompt="a dark picture")
    torch.testing.assert_close(golden, expected)
    assert not torch.allclose(golden, re_denoise(pipe, PROMPTS, latents=source, num_steps=2), atol=1e-3)
    with pytest.raises(ConfigError, match="negative_prompt must be one text for all prompts"):
        re_denoise(pipe, PROMPTS, negative_prompt=["dark", "dark"])  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", TRANSFORMERS | FLOWS)
def test_every_family_but_flux_takes_a_negative_prompt(kind: str) -> None:
    pipe = (TRANSFORMERS | FLOWS)[kind]()
    if kind == "flux":
        with pytest.raises(ModelError, match="takes guidance as an input, so a negative prompt does nothing"):
            re_denoise(pipe, PROMPTS, negative_prompt="dark")
        return
    plain, away = (re_denoise(pipe, PROMPTS, None, _generator(), negative_prompt=text) for text in (None, "dark"))
    assert not torch.equal(plain, away)
    assert torch.equal(re_denoise(pipe, PROMPTS, None, _generator(), negative_prompt=""), plain)


@pytest.mark.parametrize("method", [re_denoise, GoldenNoise(_network())])
def test_offloaded_networks_make_room_when_the_noise_is_made(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny_pipeline()
    events: list[str] = []
    for network in (pipe.unet, pipe.text_encoder):
        network.register_forward_hook(lambda *_: events.append("run"))
    monkeypatch.setattr(pipe, "maybe_free_model_hooks", lambda: events.append("free"))
    method(pipe, PROMPTS)
    assert events[-1] == "free"
    assert "run" in events


def test_sdxl_pipelines_take_and_give_golden_noise() -> None:
    pipe = tiny_xl_pipeline()
    network = _network(NPNetConfig((4, 8, 8), NUM_TOKENS, TEXT_DIM + 8, ARCHITECTURE))
    source = torch.randn(2, 4, 8, 8, generator=_generator())
    latents = GoldenNoise(network)(pipe, PROMPTS, latents=source)
    embeds = pipe.encode_prompt(PROMPTS)[0]
    assert torch.equal(latents, network.eval()(source, embeds))
    assert pipe(PROMPTS, latents=latents, num_inference_steps=1, output_type="np").images.shape == (2, 32, 32, 3)
    with pytest.raises(ModelError, match="77 tokens x 16, but the pipeline gives 77 x 24"):
        GoldenNoise(_network())(pipe, PROMPTS, latents=source)
    wide = torch.randn(2, 4, 8, 16, generator=_generator())
    golden = re_denoise(pipe, PROMPTS, latents=wide)
    assert golden.shape == wide.shape
    assert not torch.allclose(golden, wide, atol=1e-3)


EXACT: dict[str, Any] = {"denoise_guidance": 5.5, "invert_guidance": 1.0, "num_steps": 2}


@pytest.mark.parametrize("kind", TRANSFORMERS | FLOWS)
@torch.no_grad()
def test_golden_noise_of_a_transformer_goes_into_its_pipeline(kind: str) -> None:
    pipe = (TRANSFORMERS | FLOWS)[kind]()
    model = from_pipeline(pipe)
    height, width = (side * pipe.vae_scale_factor for side in model.latent_shape[1:])
    arguments: dict[str, Any] = {"height": height, "width": width, "guidance_scale": 3.0, "output_type": "latent"}
    if "use_resolution_binning" in inspect.signature(type(pipe).__call__).parameters:
        arguments["use_resolution_binning"] = False
    source = torch.randn(2, *model.latent_shape, generator=_generator())
    embedding = model.encode(PROMPTS)
    network = _network(NPNetConfig(model.latent_shape, *embedding.cond.shape[1:], ARCHITECTURE))
    for golden, expected in (
        (GoldenNoise(network)(pipe, PROMPTS, generator=_generator()), network.eval()(source, embedding.cond)),
        (re_denoise(pipe, PROMPTS, latents=source, num_steps=2), re_denoise_model(model, source, embedding, **EXACT)),
    ):
        latents = pipe(PROMPTS, latents=golden, num_inference_steps=1, **arguments).images
        sampled = model.sample(SamplingPlan(expected, guidance=3.0, num_steps=1), embedding)
        torch.testing.assert_close(latents, model.for_pipeline(sampled), rtol=0, atol=1e-4)


def test_golden_noise_for_sana_has_the_dtype_that_its_pipeline_draws_in() -> None:
    pipe = tiny_sana_pipeline().to(torch.bfloat16)
    golden = re_denoise(pipe, "a ring", generator=_generator(), num_steps=2)
    drawn = pipe.prepare_latents(1, 4, 32, 32, torch.float32, "cpu", _generator())
    assert golden.dtype == drawn.dtype == torch.float32
    assert torch.equal(re_denoise(pipe, "a ring", latents=drawn, num_steps=2), golden)


def test_golden_noise_for_flux_is_packed_as_its_pipeline_packs() -> None:
    pipe = tiny_flux_pipeline()
    source = torch.randn(2, 4, 8, 16, generator=_generator())
    golden = re_denoise(pipe, PROMPTS, latents=source, denoise_guidance=2.0, invert_guidance=2.0, num_steps=1000)
    packed = pipe._pack_latents(source, *source.shape)
    assert golden.shape == packed.shape == (2, 32, 16)
    torch.testing.assert_close(golden, packed, rtol=0, atol=1e-2)
    with pytest.raises(ModelError, match=r"must be \(B, 4, h, w\) with h and w multiples of 2, not \(2, 4, 8, 7\)"):
        re_denoise(pipe, PROMPTS, latents=source[..., :7])
    with pytest.raises(ModelError, match=r"must be \(B, 4, h, w\).*, not \(2, 32, 16\)"):
        re_denoise(pipe, PROMPTS, latents=packed)
    network = _network(replace(CONFIG, num_tokens=512))
    with pytest.raises(ConfigError, match="height=36: height must be a multiple of 8 px"):
        GoldenNoise(network)(pipe, PROMPTS, height=36)


def test_re_denoise_refuses_noise_of_other_channels(pipe: Any) -> None:
    with pytest.raises(ModelError, match=r"must be \(B, 4, h, w\), not \(1, 16, 8, 8\)"):
        re_denoise(pipe, "a ring", latents=torch.zeros(1, 16, 8, 8))


def test_the_public_names_load_on_first_use() -> None:
    assert goldennoise.__version__ == version("goldennoise")
    with pytest.raises(AttributeError, match="no attribute 'GoldenNose'"):
        _ = goldennoise.GoldenNose
    program = "import sys, goldennoise as g; n = len(sys.modules); g.GoldenNoise; print('torch' in [*sys.modules][:n])"
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "False"
