"""What a sampler predicts at each step is what diffusers says it predicts, and the last is the sample."""

import itertools
from typing import Any

import diffusers
import pytest
import torch
from tiny import TinyModel, tiny_pipeline
from tiny_flows import tiny_sd3_pipeline
from torch import Tensor
from unit.diffusion.families.test_families import FAMILIES, make_model, shared

from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares"]


def noise_of(model: DiffusionModel) -> Tensor:
    return gaussian_noise(model.latent_shape, range(len(PROMPTS)))


SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "trailing": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "v": ("DDIMScheduler", {"prediction_type": "v_prediction"}),
    "zero terminal SNR": (
        "DDIMScheduler",
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
    ),
    "euler": ("EulerDiscreteScheduler", {}),
    "ancestral": ("EulerAncestralDiscreteScheduler", {}),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@torch.no_grad()
def test_previews_are_the_original_samples_that_diffusers_predicts(name: str) -> None:
    pipe = tiny_pipeline()
    kind, settings = SCHEDULERS[name]
    pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **settings)
    model: Any = from_pipeline(pipe)
    model.num_steps, model.guidance = 5, 3.0
    noise, embedding, seeds = noise_of(model), model.encode(PROMPTS), [3, 4]
    found = list(model.previews(noise, embedding, seeds))
    scheduler = pipe.scheduler
    scheduler.set_timesteps(5)
    latents = noise * scheduler.init_noise_sigma
    draws: dict[str, Any] = {}
    if name == "ancestral":
        draws["generator"] = [torch.Generator().manual_seed(seed) for seed in seeds]
    for timestep, preview in zip(scheduler.timesteps, found, strict=True):
        scaled = scheduler.scale_model_input(latents, timestep)
        cond, uncond = (pipe.unet(scaled, timestep, text)[0] for text in (embedding.cond, embedding.uncond))
        step = scheduler.step(uncond + 3.0 * (cond - uncond), timestep, latents, **draws)
        latents = step.prev_sample
        expected = latents if timestep == scheduler.timesteps[-1] else step.pred_original_sample
        torch.testing.assert_close(preview, expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(found[-1], model.sample(SamplingPlan(noise), embedding, seeds))


@torch.no_grad()
def test_previews_of_a_flow_lie_at_the_end_of_its_straight_line() -> None:
    model: Any = from_pipeline(tiny_sd3_pipeline())
    model.num_steps, model.guidance = 4, 3.0
    noise, embedding = noise_of(model), model.encode(PROMPTS)
    latents = noise
    for position, preview in enumerate(model.previews(noise, embedding)):
        velocity = model.predict(latents, position, embedding, 3.0, 4)
        expected = model.move(latents, velocity, position, 4, 4)
        torch.testing.assert_close(preview, expected, rtol=1e-4, atol=1e-4)
        latents = model.move(latents, velocity, position, position + 1, 4)
    assert position == 3


@pytest.mark.parametrize("kind", ["closed form", *FAMILIES])
@torch.no_grad()
def test_the_last_is_the_sample_and_no_pass_is_made_before_it_is_asked_for(kind: str) -> None:
    model = TinyModel() if kind == "closed form" else make_model(shared(kind))
    noise, embedding = noise_of(model), model.encode(PROMPTS)
    expected = model.sample(SamplingPlan(noise), embedding, [1, 2])
    whole = model.num_evaluations
    found = list(model.previews(noise, embedding, [1, 2]))
    assert model.num_evaluations == 2 * whole
    assert len(found) == model.num_steps
    torch.testing.assert_close(found[-1], expected)
    assert all(not torch.allclose(one, found[-1], atol=1e-3) for one in found[:2])
    assert len(list(itertools.islice(model.previews(noise, embedding, [1, 2]), 2))) == 2
    assert model.num_evaluations == 2 * whole + whole * 2 // model.num_steps
