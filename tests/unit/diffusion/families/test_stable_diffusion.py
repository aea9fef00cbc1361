import logging
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from tiny import tiny_pipeline

from goldennoise.diffusion.families.latent_unet import StableDiffusion
from goldennoise.diffusion.families.table import StableDiffusion as Config
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.re_denoise import re_denoise
from goldennoise.errors import ConfigError
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a green ring above a star", ""]


def make_model(pipe: Any = None, **settings: Any) -> StableDiffusion:
    defaults: dict[str, Any] = {"name": "tiny", "num_steps": 4, "guidance": 3.0}
    return StableDiffusion(pipe or tiny_pipeline(), **(defaults | settings))


@pytest.fixture
def noise() -> torch.Tensor:
    return gaussian_noise((4, 8, 8), range(len(PROMPTS)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.no_grad()
def test_the_dtype_of_the_latents_is_kept(noise: torch.Tensor, dtype: torch.dtype) -> None:
    model = make_model()
    embedding = model.encode(PROMPTS)
    latents = noise.to(dtype)
    prediction = model.predict(latents, 0, embedding, 3.0, 10)
    assert prediction.dtype == model.sample(SamplingPlan(latents), embedding).dtype == dtype
    assert model.decode(latents).dtype == torch.float32
    torch.testing.assert_close(
        prediction.float(), model.predict(latents.float(), 0, embedding, 3.0, 10), rtol=1e-2, atol=1e-2
    )


@torch.no_grad()
def test_a_half_precision_model_stays_close_to_the_full_one(noise: torch.Tensor) -> None:
    full = make_model()
    half = make_model(tiny_pipeline().to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    latents = half.sample(SamplingPlan(noise), half.encode(PROMPTS))
    assert latents.dtype == torch.float32
    assert (latents - full.sample(SamplingPlan(noise), full.encode(PROMPTS))).abs().mean() < 0.1


@torch.no_grad()
def test_the_vae_decodes_in_its_own_dtype() -> None:
    pipe = tiny_pipeline().to(torch.float16)
    latents = gaussian_noise((4, 8, 8), [0])
    pixels = pipe.vae.decode((latents / pipe.vae.config.scaling_factor).half()).sample.float()
    assert torch.equal(make_model(pipe).decode(latents), (pixels / 2 + 0.5).clamp(0, 1))


def test_gradients_reach_the_noise() -> None:
    model = make_model()
    noise = gaussian_noise((4, 8, 8), [0, 1]).requires_grad_()
    embedding = model.encode(PROMPTS[:2])
    model.decode(model.sample(SamplingPlan(noise, num_steps=2), embedding)).sum().backward()
    assert noise.grad is not None
    assert noise.grad.abs().min(0).values.max() > 0


class Velocity(torch.nn.Module):
    """The same predictions as `unet`, expressed as velocities."""

    def __init__(self, pipe: Any) -> None:
        super().__init__()
        self.unet, self.config = pipe.unet, pipe.unet.config
        self.device, self.dtype = pipe.unet.device, pipe.unet.dtype
        self.alpha_bars = pipe.scheduler.alphas_cumprod

    def forward(self, latents: torch.Tensor, timestep: Any, **kwargs: Any) -> tuple[torch.Tensor]:
        alpha_bar = self.alpha_bars[timestep]
        epsilon = self.unet(latents, timestep, **kwargs)[0]
        return ((epsilon - (1 - alpha_bar).sqrt() * latents) / alpha_bar.sqrt(),)


@torch.no_grad()
def test_a_model_of_velocities_is_the_same_model(noise: torch.Tensor) -> None:
    epsilon_model = make_model()
    pipe = tiny_pipeline(prediction_type="v_prediction")
    pipe.unet = Velocity(pipe)
    model = make_model(pipe)
    embedding = model.encode(PROMPTS)
    for position in (0, 4, 9):
        expected = epsilon_model.predict(noise, position, embedding, 3.0, 10)
        torch.testing.assert_close(model.predict(noise, position, embedding, 3.0, 10), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        model.sample(SamplingPlan(noise), embedding),
        epsilon_model.sample(SamplingPlan(noise), embedding),
        rtol=1e-4,
        atol=1e-4,
    )
    arguments: dict[str, Any] = {"denoise_guidance": 5.5, "invert_guidance": 1.0, "num_steps": 10, "depth": 2}
    golden, expected = (re_denoise(each, noise, embedding, **arguments) for each in (model, epsilon_model))
    torch.testing.assert_close(golden, expected, rtol=1e-4, atol=1e-4)


def test_a_prompt_that_is_cut_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    model = make_model()
    fits, long = "a" * 75, "b" * 76
    with caplog.at_level(logging.WARNING):
        model.encode([fits, "short"])
    assert (model.num_truncated, caplog.text) == (0, "")
    with caplog.at_level(logging.WARNING):
        embedding = model.encode([long, fits, "first" + long])
    assert model.num_truncated == 2
    assert "2 of 3 prompts" in caplog.text
    assert "77 tokens" in caplog.text
    assert f"first in: {long}" in caplog.text
    assert embedding.cond.shape == embedding.uncond.shape == (3, 77, 16)
    torch.testing.assert_close(embedding.cond[0], model.encode([long + "c"]).cond[0])


@torch.no_grad()
def test_the_negative_prompt_is_the_unconditional_side() -> None:
    plain, negative = make_model(), make_model(negative_prompt="ugly")
    assert torch.equal(plain.encode(["a"]).uncond, plain.encode([""]).cond)
    torch.testing.assert_close(negative.encode(["a", "b"]).uncond[1:], plain.encode(["ugly"]).cond)


def test_rows_of_an_embedding() -> None:
    embedding = make_model().encode(PROMPTS)
    assert len(embedding) == 4
    assert torch.equal(embedding[1:3].cond, embedding.cond[1:3])
    twice = embedding.repeat(2)
    assert len(twice) == 8
    assert torch.equal(twice.cond[2], twice.cond[3])
    assert torch.equal(twice.cond[::2], embedding.cond)


@torch.no_grad()
def test_another_image_size() -> None:
    model = make_model(height=48, width=64)
    assert model.latent_shape == (4, 12, 16)
    noise = gaussian_noise(model.latent_shape, [0])
    assert model.decode(model.sample(SamplingPlan(noise, num_steps=1), model.encode(["a"]))).shape == (1, 3, 48, 64)


@torch.no_grad()
def test_a_multistep_scheduler_does_not_remember_the_call_before(noise: torch.Tensor) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    model = make_model(pipe)
    embedding = model.encode(PROMPTS)
    first = model.sample(SamplingPlan(noise), embedding)
    model.sample(SamplingPlan(-noise, num_steps=3), embedding)
    assert torch.equal(model.sample(SamplingPlan(noise), embedding), first)


@torch.no_grad()
def test_sampling_leaves_the_scheduler_of_the_pipeline_as_it_was(noise: torch.Tensor) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.scheduler.set_timesteps(9)
    model = make_model(pipe)
    model.sample(SamplingPlan(noise, num_steps=3), model.encode(PROMPTS))
    assert pipe.scheduler.num_inference_steps == len(pipe.scheduler.timesteps) == 9
    assert pipe.scheduler.step_index is None


def test_too_many_sampling_steps_are_refused(noise: torch.Tensor) -> None:
    model = make_model()
    with pytest.raises(ConfigError, match="num_steps=1000"):
        model.sample(SamplingPlan(noise, num_steps=1000), model.encode(PROMPTS))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("path", ""),
        ("num_steps", 0),
        ("guidance", -0.1),
        ("guidance", float("nan")),
        ("guidance", float("inf")),
        ("scheduler", "eular"),
        ("dtype", "float8"),
        ("height", 30),
        ("width", 0),
    ],
)
def test_an_option_out_of_range_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{option}="):
        Config(**{option: value})
