"""The transformer families against the diffusers pipelines themselves, with the same latents: images within 1e-4.

The pipelines' resolution binning is off: latents that are given decide the size.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from tiny_transformers import TRANSFORMERS, tiny_hunyuan_pipeline, tiny_pixart_pipeline

from goldennoise import diffusion
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.seeding import gaussian_noise

PROMPTS = ["a red circle", "  Two BLUE squares", "a green ring above a star"]


@cache
def shared(kind: str) -> Any:
    """One pipeline for all tests that do not change it."""
    return TRANSFORMERS[kind]()


def assert_same_images(
    pipe: Any, num_steps: int, guidance: float, model: DiffusionModel | None = None, **arguments: Any
) -> None:
    """Keyword arguments go to the pipeline."""
    model = model or diffusion.from_pipeline(pipe)
    noise = gaussian_noise(model.latent_shape, range(len(PROMPTS)))
    expected = pipe(
        PROMPTS,
        latents=noise,
        num_inference_steps=num_steps,
        guidance_scale=guidance,
        use_resolution_binning=False,
        output_type="pt",
        **arguments,
    ).images
    with torch.no_grad():
        images = model.decode(model.sample(noise, model.encode(PROMPTS), num_steps, guidance))
    assert expected.std() > 0.05
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", TRANSFORMERS)
@pytest.mark.parametrize(("num_steps", "guidance"), [(1, 4.5), (5, 1.0), (5, 1.5), (7, 5.5)])
def test_guidance_and_steps(kind: str, num_steps: int, guidance: float) -> None:
    assert_same_images(shared(kind), num_steps, guidance)


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_another_size_and_a_negative_prompt_from_a_folder(kind: str, tmp_path: Path) -> None:
    pipe, component = TRANSFORMERS[kind](), diffusion.component(kind)
    pipe.save_pretrained(tmp_path)
    pipe.scheduler = DPMSolverMultistepScheduler.from_pretrained(tmp_path / "scheduler")
    height, width = 12 * pipe.vae_scale_factor, 16 * pipe.vae_scale_factor
    config = component.Config(
        path=str(tmp_path), height=height, width=width, negative_prompt="ugly, blurred", scheduler="dpmpp_2m"
    )
    model = component.build(config, torch.device("cpu"))
    assert model.latent_shape == (4, 12, 16)
    negative = ["ugly, blurred"] * len(PROMPTS)
    assert_same_images(pipe, 4, 3.0, model, negative_prompt=negative, height=height, width=width)


def test_a_network_without_learned_variance() -> None:
    assert_same_images(tiny_pixart_pipeline(learned_variance=False), 3, 3.0)


def test_an_early_hunyuan_is_told_sizes_and_style() -> None:
    assert_same_images(tiny_hunyuan_pipeline(early=True), 3, 3.0)
