"""Our sampler against `StableDiffusionPipeline` itself, with the same latents: images within 1e-4."""

from typing import Any

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from tiny import tiny_pipeline

from goldennoise import diffusion
from goldennoise.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a green ring above a star"]


def assert_same_images(pipe: Any, num_steps: int, guidance: float) -> None:
    noise = gaussian_noise((4, 8, 8), range(len(PROMPTS)))
    arguments = {"num_inference_steps": num_steps, "guidance_scale": guidance, "output_type": "pt"}
    expected = pipe(PROMPTS, latents=noise, **arguments).images
    model = diffusion.from_pipeline(pipe)
    with torch.no_grad():
        images = model.decode(model.sample(noise, model.encode(PROMPTS), num_steps, guidance))
    assert expected.std() > 0.05
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("guidance", [1.0, 1.5, 5.5, 7.5])
@pytest.mark.parametrize("num_steps", [1, 7, 10])
def test_guidance_and_steps(guidance: float, num_steps: int) -> None:
    assert_same_images(tiny_pipeline(), num_steps, guidance)


@pytest.mark.parametrize(
    "settings",
    [
        {"prediction_type": "v_prediction"},
        {"timestep_spacing": "trailing"},
        {"set_alpha_to_one": True, "steps_offset": 0},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
    ],
)
def test_settings_of_the_schedule(settings: dict[str, Any]) -> None:
    assert_same_images(tiny_pipeline(**settings), 5, 3.0)


@pytest.mark.parametrize(
    "scheduler",
    [
        DPMSolverMultistepScheduler,
        EulerDiscreteScheduler,
        HeunDiscreteScheduler,
        PNDMScheduler,
        UniPCMultistepScheduler,
    ],
)
def test_other_schedulers_of_a_pipeline(scheduler: Any) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    assert_same_images(pipe, 6, 3.0)
