import math
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from tiny_flows import BY_RESOLUTION

from goldennoise.diffusion.schedules.flow import FlowSchedule
from goldennoise.diffusion.schedules.schedulers import check_flow, make_flow_scheduler
from goldennoise.errors import ConfigError, ModelError


def schedule(patch_size: int = 2, uniform: bool = False, **settings: Any) -> FlowSchedule:
    return FlowSchedule(FlowMatchEulerDiscreteScheduler(**settings), patch_size, uniform)


def noises(dtype: torch.dtype = torch.float32, side: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 2, 4, side, side, generator=generator).to(dtype)
    return first, second


LATENTS, VELOCITY = noises()


def sigmas(flow: FlowSchedule, num_steps: int, latents: torch.Tensor = LATENTS) -> list[float]:
    return [flow.sigma(position, num_steps, latents) for position in range(num_steps + 1)]


def test_levels_fall_from_pure_noise_to_none() -> None:
    levels = sigmas(schedule(shift=3.0), 10)
    assert levels == sorted(levels, reverse=True)
    assert (levels[0], levels[-1]) == (1.0, 0.0)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_constant_shift_of_uniform_levels(shift: float) -> None:
    """Esser et al. 2024 (arXiv 2403.03206), equation 23."""
    plain = [1 - position / 5 for position in range(6)]
    expected = [shift * sigma / (1 + (shift - 1) * sigma) for sigma in plain]
    assert sigmas(schedule(uniform=True, shift=shift), 5) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("side", "patches"), [(4, 4), (8, 16), (16, 64)])
def test_a_shift_by_resolution_is_that_of_the_latents(side: int, patches: int) -> None:
    flow = schedule(uniform=True, **BY_RESOLUTION)
    odds = math.exp(0.5 + (1.15 - 0.5) * (patches - 4) / (64 - 4))
    expected = [odds / (odds + 1 / sigma - 1) for sigma in (1.0, 0.75, 0.5, 0.25)]
    assert sigmas(flow, 4, noises(side=side)[0])[:4] == pytest.approx(expected, abs=1e-6)
    assert flow.timestep(2, 4, noises(side=side)[0]) == pytest.approx(1000 * expected[2], abs=1e-3)


@pytest.mark.parametrize(
    ("num_steps", "settings"),
    [(1, {}), (4, {"shift": 3.0}), (7, BY_RESOLUTION), (1, BY_RESOLUTION), (4, {"shift_terminal": 0.1})],
)
def test_moving_down_is_diffusers_own_step(num_steps: int, settings: dict[str, Any]) -> None:
    flow, scheduler = schedule(**settings), FlowMatchEulerDiscreteScheduler(**settings)
    shift = {"mu": 0.5 + (1.15 - 0.5) * (16 - 4) / (64 - 4)} if "base_shift" in settings else {}
    scheduler.set_timesteps(num_steps, **shift)
    latents = LATENTS
    for position, timestep in enumerate(scheduler.timesteps):
        assert flow.timestep(position, num_steps, latents) == pytest.approx(float(timestep), abs=1e-3)
        expected = scheduler.step(VELOCITY, timestep, latents).prev_sample
        moved = flow.move(latents, VELOCITY, position, position + 1, num_steps)
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-6)
        latents = moved


@pytest.mark.parametrize(("start", "end"), [(0, 1), (3, 4), (0, 10), (9, 10), (7, 2)])
def test_there_and_back_with_one_velocity_is_the_identity(start: int, end: int) -> None:
    flow = schedule(shift=3.0)
    moved = flow.move(LATENTS, VELOCITY, start, end, 10)
    assert not torch.allclose(moved, LATENTS, atol=1e-2)
    torch.testing.assert_close(flow.move(moved, VELOCITY, end, start, 10), LATENTS, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_of_the_latents_is_kept(dtype: torch.dtype) -> None:
    flow = schedule()
    latents, velocity = noises(dtype)
    moved = flow.move(latents, velocity, 0, 1, 10)
    assert moved.dtype == flow.diffuse(latents, velocity, 5, 3, 10).dtype == dtype
    torch.testing.assert_close(moved, flow.move(latents.double(), velocity.double(), 0, 1, 10).to(dtype))


@pytest.mark.parametrize(("start", "end"), [(5, 3), (10, 4), (2, 1), (3, 3)])
def test_fresh_noise_brings_latents_to_the_level_above(start: int, end: int) -> None:
    """Of x_0 + noise the image's part is 1 - sigma, and the noise's variance, old and new together, sigma^2."""
    flow = schedule(shift=3.0)
    here, there = flow.sigma(start, 10, LATENTS), flow.sigma(end, 10, LATENTS)
    zeros, ones = torch.zeros(1, 1, 8, 8, dtype=torch.float64), torch.ones(1, 1, 8, 8, dtype=torch.float64)
    kept = float(flow.diffuse(ones, zeros, start, end, 10)[0, 0, 0, 0])
    fresh = float(flow.diffuse(zeros, ones, start, end, 10)[0, 0, 0, 0])
    assert kept * (1 - here) == pytest.approx(1 - there, abs=1e-7)
    assert (kept * here) ** 2 + fresh**2 == pytest.approx(there**2, abs=1e-7)


def test_noising_up_to_pure_noise_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Position 0 of this model is pure noise \(sigma 1\).*another method"):
        schedule().diffuse(LATENTS, VELOCITY, 3, 0, 10)


@pytest.mark.parametrize("num_steps", [0, -1])
def test_a_schedule_without_steps_is_refused(num_steps: int) -> None:
    with pytest.raises(ConfigError, match=f"num_steps={num_steps}: num_steps must be at least 1"):
        schedule().timestep(0, num_steps, LATENTS)


@pytest.mark.parametrize("position", [-1, 5])
def test_a_position_beyond_the_schedule_is_refused(position: int) -> None:
    with pytest.raises(ConfigError, match=f"position={position}: position must be between 0 and num_steps=4"):
        schedule().sigma(position, 4, LATENTS)


def test_levels_do_not_depend_on_the_sampler() -> None:
    euler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    dpm = make_flow_scheduler("flow_dpmpp_2m", euler)
    assert (dpm.config.use_flow_sigmas, dpm.config.flow_shift, dpm.config.solver_order) == (True, 3.0, 2)
    check_flow(dpm, ["flow_euler", "flow_dpmpp_2m"])
    assert sigmas(FlowSchedule(dpm, 1), 6) == sigmas(FlowSchedule(euler, 1), 6)
    assert make_flow_scheduler("flow_euler", dpm).config.shift == 3.0


FLOWING: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler(),
        FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
        DPMSolverMultistepScheduler(),
        DPMSolverMultistepScheduler(**FLOWING, algorithm_type="sde-dpmsolver++"),
    ],
)
def test_a_sampler_of_another_kind_or_with_noise_of_its_own_is_refused(scheduler: Any) -> None:
    allowed = "FlowMatchEulerDiscreteScheduler without stochastic_sampling or DPMSolverMultistepScheduler with use_flow"
    with pytest.raises(ModelError, match=f"{type(scheduler).__name__} as it is set does not sample.*{allowed}"):
        check_flow(scheduler, ["flow_euler", "flow_dpmpp_2m"])


def test_a_sampler_that_a_family_cannot_take_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"scheduler to FlowMatchEulerDiscreteScheduler without stochastic_sampling\.$"
    ):
        check_flow(DPMSolverMultistepScheduler(**FLOWING), ["flow_euler"])
