import pytest
import torch
from diffusers import EulerDiscreteScheduler
from tiny import tiny_scheduler

from goldennoise.diffusion.schedules.ddim import DdimSchedule
from goldennoise.errors import ConfigError, ModelError


def noises(num: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, num, 4, 8, 8, generator=generator).to(dtype)
    return first, second


@pytest.mark.parametrize("num_steps", [1, 4, 7, 10, 50])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_timesteps_are_diffusers_own(num_steps: int, spacing: str) -> None:
    scheduler = tiny_scheduler(timestep_spacing=spacing)
    timesteps = DdimSchedule(scheduler.config).timesteps(num_steps)
    scheduler.set_timesteps(num_steps)
    assert timesteps == scheduler.timesteps.tolist()
    assert timesteps == sorted(set(timesteps), reverse=True)


@pytest.mark.parametrize(("num_steps", "first", "last"), [(10, 901, 1), (4, 751, 1), (50, 981, 1)])
def test_sdxl_timesteps(num_steps: int, first: int, last: int) -> None:
    timesteps = DdimSchedule(tiny_scheduler().config).timesteps(num_steps)
    assert (timesteps[0], timesteps[-1]) == (first, last)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("to_one", [False, True])
@pytest.mark.parametrize("num_steps", [1, 8, 10])
def test_moving_down_is_diffusers_ddim_step(spacing: str, to_one: bool, num_steps: int) -> None:
    scheduler = tiny_scheduler(timestep_spacing=spacing, set_alpha_to_one=to_one)
    schedule = DdimSchedule(scheduler.config)
    scheduler.set_timesteps(num_steps)
    latents, epsilon = noises(2)
    for position, timestep in enumerate(scheduler.timesteps):
        expected = scheduler.step(epsilon, int(timestep), latents).prev_sample
        moved = schedule.move(latents, epsilon, position, position + 1, num_steps)
        torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("start", "end"), [(0, 1), (3, 4), (0, 10), (9, 10), (7, 2)])
def test_there_and_back_with_one_prediction_is_the_identity(start: int, end: int) -> None:
    schedule = DdimSchedule(tiny_scheduler().config)
    latents, epsilon = noises(2)
    moved = schedule.move(latents, epsilon, start, end, 10)
    assert not torch.allclose(moved, latents, atol=1e-2)
    torch.testing.assert_close(schedule.move(moved, epsilon, end, start, 10), latents, rtol=1e-5, atol=1e-5)


def test_alpha_bar_falls_with_noise_and_ends_where_the_scheduler_says() -> None:
    schedule = DdimSchedule(tiny_scheduler().config)
    alpha_bars = [schedule.alpha_bar(position, 10) for position in range(11)]
    assert alpha_bars == sorted(alpha_bars)
    assert alpha_bars[-1] == pytest.approx(1 - 0.00085)
    assert DdimSchedule(tiny_scheduler(set_alpha_to_one=True).config).alpha_bar(10, 10) == 1.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_dtype_of_the_latents_is_kept(dtype: torch.dtype) -> None:
    schedule = DdimSchedule(tiny_scheduler().config)
    latents, epsilon = noises(2, dtype)
    moved = schedule.move(latents, epsilon, 0, 1, 10)
    assert moved.dtype == dtype
    exact = schedule.move(latents.double(), epsilon.double(), 0, 1, 10)
    torch.testing.assert_close(moved, exact.to(dtype))


def test_the_schedule_of_another_scheduler_is_the_ddim_one_of_its_noise_levels() -> None:
    euler = EulerDiscreteScheduler.from_config(tiny_scheduler().config)
    assert DdimSchedule(euler.config).timesteps(10) == DdimSchedule(tiny_scheduler().config).timesteps(10)
    assert DdimSchedule(euler.config).alpha_bar(3, 10) == DdimSchedule(tiny_scheduler().config).alpha_bar(3, 10)


def test_v_is_turned_into_the_noise_it_stands_for() -> None:
    schedule = DdimSchedule(tiny_scheduler(prediction_type="v_prediction").config)
    clean, epsilon = noises(2)
    alpha_bar = schedule.alpha_bar(0, 10)
    latents = alpha_bar**0.5 * clean + (1 - alpha_bar) ** 0.5 * epsilon
    velocity = alpha_bar**0.5 * epsilon - (1 - alpha_bar) ** 0.5 * clean
    torch.testing.assert_close(schedule.to_prediction(velocity, latents, 901), epsilon, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_steps", [0, -1, 1000, 1001])
def test_a_number_of_steps_the_schedule_cannot_hold_is_refused(num_steps: int) -> None:
    with pytest.raises(ConfigError, match=f"num_steps={num_steps}.*between 1 and 999"):
        DdimSchedule(tiny_scheduler().config).timesteps(num_steps)


@pytest.mark.parametrize("position", [-1, 11])
def test_a_position_beside_the_schedule_is_refused(position: int) -> None:
    with pytest.raises(ConfigError, match=f"position={position}"):
        DdimSchedule(tiny_scheduler().config).alpha_bar(position, 10)


ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}


def test_down_from_pure_noise_is_diffusers_ddim_step() -> None:
    scheduler = tiny_scheduler(**ZERO_SNR)
    scheduler.set_timesteps(10)
    schedule = DdimSchedule(scheduler.config)
    noise, velocity = noises(2)
    prediction = schedule.to_prediction(velocity, noise, 999)
    expected = scheduler.step(velocity, 999, noise).prev_sample
    assert [schedule.predicts_image(position, 10) for position in (0, 1, 10)] == [True, False, False]
    torch.testing.assert_close(schedule.move(noise, prediction, 0, 1, 10), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_up_to_pure_noise_takes_the_predicted_image_away(dtype: torch.dtype) -> None:
    schedule = DdimSchedule(tiny_scheduler(**ZERO_SNR).config)
    noise, image = noises(2, dtype)
    down = schedule.move(noise, image, 0, 1, 10)
    up = schedule.move(down, image, 1, 0, 10)
    assert down.dtype == up.dtype == dtype
    torch.testing.assert_close(up, noise, rtol=0, atol=1e-2 if dtype == torch.bfloat16 else 1e-6)
    assert torch.equal(schedule.move(noise, image, 0, 0, 10), noise)


def test_velocities_above_pure_noise_are_noises_as_ever() -> None:
    zero, plain = (DdimSchedule(tiny_scheduler(**(ZERO_SNR | {"rescale_betas_zero_snr": on})).config) for on in (1, 0))
    latents, velocity = noises(2)
    for schedule in (zero, plain):
        alpha_bar = schedule.alpha_bar(3, 10)
        expected = alpha_bar**0.5 * velocity + (1 - alpha_bar) ** 0.5 * latents
        assert torch.equal(schedule.to_prediction(velocity, latents, schedule.timesteps(10)[3]), expected)


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1, 0)])
def test_noise_predicted_at_pure_noise_says_nothing_of_the_image(start: int, end: int) -> None:
    schedule = DdimSchedule(tiny_scheduler(**(ZERO_SNR | {"prediction_type": "epsilon"})).config)
    latents, epsilon = noises(1)
    with pytest.raises(ModelError, match=r"^Timestep 999 .* pure noise \(alpha-bar 0\), .* a model that predicts v"):
        schedule.move(latents, epsilon, start, end, 10)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_noising_up_to_pure_noise_is_refused(prediction_type: str) -> None:
    schedule = DdimSchedule(tiny_scheduler(**(ZERO_SNR | {"prediction_type": prediction_type})).config)
    latents, fresh = noises(1)
    with pytest.raises(ModelError, match=r"Position 0 of this model is pure noise \(alpha-bar 0\).*another method"):
        schedule.diffuse(latents, fresh, 1, 0, 10)
    assert schedule.diffuse(latents, fresh, 2, 1, 10).isfinite().all()


def test_a_finished_image_does_not_lead_back_to_pure_noise() -> None:
    schedule = DdimSchedule(tiny_scheduler(**ZERO_SNR, set_alpha_to_one=True).config)
    latents, image = noises(1)
    with pytest.raises(ModelError, match=r"^No noise is left at position 1 of 1 .*more steps"):
        schedule.move(latents, image, 1, 0, 1)


def test_a_model_that_predicts_the_image_is_refused() -> None:
    with pytest.raises(ModelError, match="predicts sample"):
        DdimSchedule(tiny_scheduler(prediction_type="sample").config)
