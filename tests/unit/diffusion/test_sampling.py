"""The walk over a schedule: where the schedule is the sampler's own it ends where diffusers ends, row by row."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from tiny import TinyModel, tiny_pipeline, tiny_scheduler
from tiny_flows import BY_RESOLUTION, tiny_flux_pipeline, tiny_sd3_pipeline
from torch import Tensor
from unit.diffusion.families.test_families import FAMILIES, make_model, shared

from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan, Step
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.diffusion.sampling import walk
from goldennoise.diffusion.schedules.ddim import DdimSchedule
from goldennoise.diffusion.schedules.fixed import ByRow, FixedSchedule
from goldennoise.errors import ModelError
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a star"]
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


def noise_of(model: DiffusionModel, dtype: torch.dtype = torch.float32) -> Tensor:
    return gaussian_noise(model.latent_shape, range(len(PROMPTS))).to(dtype)


def own(model: DiffusionModel, num_steps: int) -> FixedSchedule:
    return FixedSchedule(tuple(model.levels(num_steps, noise_of(model))))


PIPELINES: dict[str, Any] = {
    "leading": tiny_pipeline,
    "trailing": lambda: tiny_pipeline(timestep_spacing="trailing"),
    "v": lambda: tiny_pipeline(prediction_type="v_prediction", timestep_spacing="trailing"),
    "zero terminal SNR": lambda: tiny_pipeline(prediction_type="v_prediction", **ZERO_SNR),
    "last alpha 1": lambda: tiny_pipeline(set_alpha_to_one=True, steps_offset=0),
    "flow": tiny_sd3_pipeline,
    "flow by resolution": lambda: tiny_flux_pipeline(**BY_RESOLUTION),
}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("num_steps", [1, 4, 10])
@torch.no_grad()
def test_on_its_own_schedule_a_model_samples_what_diffusers_samples(name: str, num_steps: int) -> None:
    model = from_pipeline(PIPELINES[name]())
    noise, embedding = noise_of(model), model.encode(PROMPTS)
    schedule = own(model, num_steps)
    assert len(schedule.levels) == num_steps + 1
    expected = model.sample(SamplingPlan(noise, guidance=3.0, num_steps=num_steps), embedding)
    before = model.num_evaluations
    latents = model.sample(SamplingPlan(noise, guidance=3.0, schedule=schedule), embedding)
    assert model.num_evaluations == 2 * before
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("scheduler", [DPMSolverMultistepScheduler, EulerDiscreteScheduler])
def test_a_sampler_of_other_steps_is_refused(scheduler: Any) -> None:
    """Euler's end at noise level 0, DDIM's at that of the first timestep."""
    pipe = tiny_pipeline()
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    model = from_pipeline(pipe)
    with pytest.raises(ModelError, match=rf"{scheduler.__name__} takes others.*set model\.scheduler=ddim"):
        model.sample(SamplingPlan(noise_of(model), schedule=own(model, 4)), model.encode(PROMPTS))


@pytest.mark.parametrize("kind", ["closed form", *FAMILIES])
@torch.no_grad()
def test_rows_on_schedules_of_their_own_are_sampled_as_if_alone(kind: str) -> None:
    model = TinyModel() if kind == "closed form" else make_model(shared(kind))
    noise, embedding = noise_of(model), model.encode(PROMPTS)
    rows = tuple(FixedSchedule(levels) for levels in ((1.0, 0.62, 0.305, 0.0), (1.0, 0.0), (1.0, 0.8, 0.0)))
    alone = [
        model.sample(SamplingPlan(noise[i : i + 1], schedule=row), embedding[i : i + 1]) for i, row in enumerate(rows)
    ]
    before = model.num_evaluations
    schedule = ByRow(rows)
    together = model.sample(SamplingPlan(noise, schedule=schedule), embedding)
    assert model.num_evaluations == 2 * before  # a finished row is not evaluated
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=2e-4)
    assert together.dtype == noise.dtype
    assert schedule.taken(3) == [row.levels for row in rows]


@pytest.mark.parametrize("name", PIPELINES)
@torch.no_grad()
def test_at_its_levels_a_model_predicts_and_moves_as_at_its_positions(name: str) -> None:
    model = from_pipeline(PIPELINES[name]())
    noise, embedding = noise_of(model), model.encode(PROMPTS)
    levels = model.levels(8, noise)
    for position, (here, there) in enumerate(pairwise(levels)):
        level, below = (torch.full((len(noise),), each, dtype=torch.float64) for each in (here, there))
        expected = model.predict(noise, position, embedding, 3.0, 8)
        prediction = model.predict_at(noise, level, embedding, 3.0)
        torch.testing.assert_close(prediction, expected, rtol=1e-5, atol=1e-5)
        moved = model.move_to(noise, prediction, level, below)
        expected = model.move(noise, prediction, position, position + 1, 8)
        torch.testing.assert_close(moved, expected, rtol=1e-6, atol=1e-6)


def test_noise_predicted_at_pure_noise_says_nothing_of_the_image() -> None:
    model = from_pipeline(tiny_pipeline(**ZERO_SNR))
    with pytest.raises(ModelError, match=r"^Timestep 999 .* pure noise \(alpha-bar 0\), .* a model that predicts v"):
        model.sample(SamplingPlan(noise_of(model), schedule=own(model, 4)), model.encode(PROMPTS))


def test_between_two_timesteps_the_log_of_the_signal_to_noise_ratio_is_linear() -> None:
    model: Any = from_pipeline(tiny_pipeline())
    levels = torch.tensor([0.5, 0.50025, 0.501, 0.0004, 0.0], dtype=torch.float64)
    here, between, after, early, end = model._schedule._alpha_bars_at(levels)
    assert model._schedule.timesteps_at(levels) == [499.0, 499.25, 500.0, 0.0, 0.0]
    odds, odds_between, odds_after = (each / (1 - each) for each in (here, between, after))
    assert odds_between == pytest.approx(odds**0.75 * odds_after**0.25)
    assert here > between > after
    assert early == end == pytest.approx(float(model._pipe.scheduler.alphas_cumprod[0]))


@pytest.mark.parametrize("num_steps", [1, 10, 1000])
@torch.no_grad()
def test_from_pure_noise_a_walk_takes_diffusers_ddim_steps(num_steps: int) -> None:
    pipe = tiny_pipeline(prediction_type="v_prediction", **ZERO_SNR).to(torch.float64)
    ddim: Any = DDIMScheduler.from_config(pipe.scheduler.config)
    ddim.alphas_cumprod, ddim.final_alpha_cumprod = ddim.alphas_cumprod.double(), ddim.final_alpha_cumprod.double()
    ddim.set_timesteps(num_steps)
    model = from_pipeline(pipe)
    latents, embedding = noise_of(model, torch.float64), model.encode(PROMPTS)
    levels = model.levels(num_steps, latents)
    for timestep, here, there in list(zip(ddim.timesteps, levels, levels[1:], strict=False))[:10]:
        level, below = (torch.full((len(latents),), each, dtype=torch.float64) for each in (here, there))
        cond, uncond = (pipe.unet(latents, timestep, text)[0] for text in (embedding.cond, embedding.uncond))
        expected = ddim.step(uncond + 3.0 * (cond - uncond), timestep, latents).prev_sample
        latents = model.move_to(latents, model.predict_at(latents, level, embedding, 3.0), level, below)
        torch.testing.assert_close(latents, expected, rtol=0, atol=1e-10)


def test_between_the_last_two_timesteps_pure_noise_counts_as_almost_noise() -> None:
    model: Any = from_pipeline(tiny_pipeline(prediction_type="v_prediction", **ZERO_SNR))
    levels = torch.tensor([0.999, 0.9995, 0.99999, 1.0], dtype=torch.float64)
    before, between, after, noise = model._schedule._alpha_bars_at(levels)
    assert model._schedule.timesteps_at(levels) == [998.0, 998.5, 998.99, 999.0]
    assert noise == 0
    assert before > between > after > 2**-24
    assert between / (1 - between) == pytest.approx((before / (1 - before) * 2**-24) ** 0.5, rel=1e-6)


def test_the_next_level_is_the_largest_below() -> None:
    levels = torch.tensor([1.0, 0.9, 0.7, 0.3, 0.0], dtype=torch.float64)
    assert FixedSchedule((1.0, 0.7, 0.3, 0.0)).next(levels, Step(0, torch.arange(5)), None).tolist() == [
        0.7,
        0.7,
        0.3,
        0.0,
        0.0,
    ]


class Gaussian:
    """Data N(0, 0.25): the best prediction of noise, and where the flow of probability ends, are known."""

    variance = 0.25

    def __init__(self) -> None:
        self.schedule = DdimSchedule(tiny_scheduler().config)
        self.num_evaluations = 0

    def kept(self, level: Tensor) -> Tensor:
        return torch.tensor([float(self.schedule._alpha_bars_at(one[None])[0]) for one in level], dtype=torch.float64)

    def predict_at(self, latents: Tensor, level: Tensor, embedding: Any, guidance: float) -> Tensor:  # noqa: ARG002
        kept = self.kept(level)[:, None, None, None]
        return (1 - kept).sqrt() * latents / (kept * self.variance + 1 - kept)

    def move_to(self, latents: Tensor, prediction: Tensor, here: Tensor, there: Tensor) -> Tensor:
        return self.schedule.move_to(latents, prediction, here, there)

    def end_of(self, noise: Tensor) -> Tensor:
        """The probability flow keeps the quantile: the deviation alone changes."""
        ends = torch.tensor([1.0, 0.0], dtype=torch.float64)
        first, last = (kept * self.variance + 1 - kept for kept in self.kept(ends).tolist())
        return noise * (last / first) ** 0.5


def test_on_gaussian_data_the_error_of_the_walk_falls_with_its_steps() -> None:
    """DDIM is of first order: twice the steps, half the error. Rows of different lengths have each their own."""
    model: Any = Gaussian()
    noise = torch.randn(4, 4, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    steps = (25, 50, 100, 200)
    rows = tuple(FixedSchedule((*(1 - i / num for i in range(num)), 0.0)) for num in steps)
    embedding: Any = torch.zeros(4)
    found = walk(model, noise, embedding, ByRow(rows), 1.0)
    errors = (found - model.end_of(noise)).abs().amax(dim=(1, 2, 3)) / noise.abs().amax(dim=(1, 2, 3))
    ratios = errors[:-1] / errors[1:]
    assert ((ratios > 1.7) & (ratios < 2.3)).all(), errors
    assert errors[-1] < 0.01
