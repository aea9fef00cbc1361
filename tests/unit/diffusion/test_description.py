"""What is known of a model before it is loaded: against the loaded one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_flows import tiny_flux_pipeline, tiny_sana_pipeline, tiny_sd3_pipeline
from tiny_transformers import tiny_hunyuan_pipeline, tiny_pixart_pipeline

from goldennoise.config.compose import load
from goldennoise.diffusion import families
from goldennoise.diffusion.description import described, sampling_of

PIPELINES: dict[str, Callable[[], Any]] = {
    "stable_diffusion": tiny_pipeline,
    "stable_diffusion_xl": tiny_xl_pipeline,
    "pixart_sigma": tiny_pixart_pipeline,
    "hunyuan_dit": tiny_hunyuan_pipeline,
    "stable_diffusion_3": tiny_sd3_pipeline,
    "sana": tiny_sana_pipeline,
    "flux": tiny_flux_pipeline,
}
CPU = torch.device("cpu")


def num_numbers(network: torch.nn.Module) -> int:
    """Tied weights, which T5 has under two names, count once."""
    return sum({each.data_ptr(): each.numel() for each in network.state_dict().values()}.values())


@pytest.mark.parametrize("kind", PIPELINES)
def test_a_folder_tells_what_the_loaded_model_is(kind: str, tmp_path: Path) -> None:
    pipe = PIPELINES[kind]()
    pipe.save_pretrained(tmp_path)
    family = families.component(kind)
    config = family.Config(path=str(tmp_path))
    found, model = described(config), family.build(config, CPU)
    assert found.latent_shape == model.latent_shape
    assert found.image_px == tuple(side * pipe.vae_scale_factor for side in model.latent_shape[1:])
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    assert found.parameters == {name: num_numbers(part) for name, part in parts.items()}
    if found.text_shape is not None:
        assert found.text_shape == tuple(model.encode(["a ring"]).cond.shape[1:])
    assert (found.text_shape is not None) == (kind in ("stable_diffusion", "stable_diffusion_xl"))


@pytest.mark.parametrize("kind", PIPELINES)
@torch.no_grad()
def test_passes_are_those_that_the_model_counts(kind: str, tmp_path: Path) -> None:
    PIPELINES[kind]().save_pretrained(tmp_path)
    family = families.component(kind)
    config = family.Config(path=str(tmp_path))
    model = family.build(config, CPU)
    embedding = model.encode(["a ring", "a dog"])
    noise = model.initial_noise([0, 1])
    for guidance in (config.guidance, 1.0, 0.0):
        before = model.num_evaluations
        model.predict(noise, 0, embedding, guidance, 4)
        assert model.num_evaluations - before == 2 * sampling_of(config).passes(guidance)


def test_a_unet_that_takes_guidance_is_evaluated_once_a_step(tmp_path: Path) -> None:
    tiny_pipeline(time_cond_proj_dim=8).save_pretrained(tmp_path)
    config = families.component("stable_diffusion").Config(path=str(tmp_path), num_steps=4)
    assert sampling_of(config).image().least == 4


def test_a_size_of_ones_own_is_that_of_the_latents(tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path)
    factor = pipe.vae_scale_factor
    config = families.component("stable_diffusion").Config(path=str(tmp_path), height=16 * factor)
    found = described(config)
    assert found.latent_shape == (4, 16, 8)
    assert found.image_px == (16 * factor, 8 * factor)


@pytest.mark.parametrize(
    ("option", "shape", "side_px"),
    [("sd15", (4, 64, 64), 512), ("sdxl_turbo", (4, 64, 64), 512), ("sd21", (4, 96, 96), 768),
     ("sana", (32, 32, 32), 1024), ("flux_dev", (16, 128, 128), 1024), ("sd35", (16, 128, 128), 1024)],
)  # fmt: skip
def test_a_published_model_is_told_without_its_files(option: str, shape: tuple[int, ...], side_px: int) -> None:
    found = described(load([f"model={option}"]).model)
    assert (found.latent_shape, found.image_px) == (shape, (side_px, side_px))
    assert sum(found.parameters.values()) > 1e8
    assert found.source


def test_nothing_is_made_up(tmp_path: Path) -> None:
    elsewhere = families.component("stable_diffusion").Config(path="somebody/some-model")
    assert (described(elsewhere).latent_shape, described(elsewhere).parameters) == (None, {})
    tiny_pipeline().save_pretrained(tmp_path)
    (tmp_path / "unet/config.json").write_text('{"sample_size": "large"}')
    (tmp_path / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    config = families.component("stable_diffusion").Config(path=str(tmp_path))
    assert (described(config).latent_shape, described(config).parameters) == (None, {})
