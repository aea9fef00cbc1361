"""Resampling against diffusers' own scheduler: DDIM down, and up by the schedule's forward process."""

import pytest
import torch
from tiny import as_prompts, tiny_pipeline, tiny_scheduler

from goldennoise.diffusion.families.latent_unet import StableDiffusion
from goldennoise.diffusion.schedules.ddim import DdimSchedule
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.re_paint import Config, RePaint
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares"]


@pytest.mark.parametrize("depth", [1, 3])
@torch.no_grad()
def test_a_round_equals_a_direct_computation(depth: int) -> None:
    pipe = tiny_pipeline()
    model = StableDiffusion(pipe, name="tiny", num_steps=4, guidance=3.0)
    source = gaussian_noise(model.latent_shape, [1, 2])
    batch = SampleBatch(as_prompts(PROMPTS), [0, 1], model.encode(PROMPTS), source)
    golden = RePaint(Config(num_steps=5, depth=depth, num_rounds=2)).golden(model, batch)

    scheduler = tiny_scheduler()
    scheduler.set_timesteps(5)
    steps = scheduler.timesteps[: depth + 1]
    latents, text = source, torch.cat([batch.embedding.uncond, batch.embedding.cond])
    for number in range(2):
        for timestep in steps[:depth]:
            uncond, cond = pipe.unet(torch.cat([latents] * 2), timestep, text).sample.chunk(2)
            latents = scheduler.step(uncond + 5.5 * (cond - uncond), timestep, latents).prev_sample
        # Timestep by timestep up, each with its beta; independent noises of a sum have the variance of one.
        alphas = scheduler.alphas[int(steps[depth]) + 1 : int(steps[0]) + 1].double()
        signal = float(alphas.prod().sqrt())
        latents = signal * latents + (1 - signal**2) ** 0.5 * batch.fresh_noise(f"re_paint/{number}")
    torch.testing.assert_close(golden, latents, rtol=1e-4, atol=1e-5)


def test_diffusing_keeps_the_marginals_of_the_schedule() -> None:
    schedule = DdimSchedule(tiny_scheduler().config)
    clean, first, second = gaussian_noise((4, 64, 64), [1, 2, 3])[:, None]
    low, high = schedule.alpha_bar(6, 10), schedule.alpha_bar(2, 10)
    latents = schedule.diffuse(low**0.5 * clean + (1 - low) ** 0.5 * first, second, 6, 2, 10)
    rest = latents - high**0.5 * clean
    assert float(rest.square().mean()) == pytest.approx(1 - high, rel=0.03)
    assert abs(float((rest * clean).mean())) < 0.02
