"""Schedules of one list of levels: where they start and end, what they agree with, what is refused."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from diffusers.schedulers import AysSchedules
from scipy import special, stats
from tiny import TinyModel, as_prompts, tiny_pipeline, tiny_xl_pipeline
from tiny_flows import tiny_flux_pipeline, tiny_sd3_pipeline
from tiny_transformers import tiny_pixart_pipeline

from goldennoise import methods
from goldennoise.config.compose import load
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.schedules.fixed import SPACINGS
from goldennoise.diffusion.setup import load as load_model
from goldennoise.errors import ConfigError
from goldennoise.methods.fixed_schedule import Config, FixedScheduleMethod
from goldennoise.methods.protocol import SampleBatch
from goldennoise.runtime.seeding import gaussian_noise

TEXTS = ["a red circle", "two blue squares", "a star"]


def batch_of(model: Any) -> SampleBatch:
    return SampleBatch(as_prompts(TEXTS), [0, 1, 2], model.encode(TEXTS), gaussian_noise(model.latent_shape, [1, 2, 3]))


def levels_of(model: Any, **options: Any) -> tuple[float, ...]:
    plan = FixedScheduleMethod(Config(**options)).plan(model, batch_of(model))
    levels: tuple[float, ...] = plan.schedule.levels  # type: ignore[union-attr]
    return levels


def timesteps_of(model: Any, **options: Any) -> list[float]:
    return [round(1000 * level - 1, 6) for level in levels_of(model, **options)[:-1]]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("num_steps", [1, 7, 10, 20])
@pytest.mark.parametrize("make", [tiny_pipeline, tiny_xl_pipeline, tiny_sd3_pipeline, tiny_flux_pipeline])
def test_levels_fall_from_the_start_to_the_end(make: Any, num_steps: int, spacing: str) -> None:
    model = from_pipeline(make())
    if spacing == "ays" and make in (tiny_sd3_pipeline, tiny_flux_pipeline):
        return
    levels = levels_of(model, num_steps=num_steps, spacing=spacing)
    assert len(levels) == num_steps + 1
    assert all(level > below for level, below in pairwise(levels))
    assert levels[-1] == 0
    if spacing != "uniform":  # which for these is leading: it starts where a step of the last one ends
        assert levels[0] == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("model", [TinyModel(), from_pipeline(tiny_pipeline())])
def test_by_default_the_steps_are_the_models_own(model: Any) -> None:
    assert list(levels_of(model)) == model.levels(model.num_steps, batch_of(model).source)


@pytest.mark.parametrize("num_steps", [1, 5, 8, 20])
@torch.no_grad()
def test_trailing_is_diffusers_ddim_with_that_spacing(num_steps: int) -> None:
    ours, theirs = (from_pipeline(tiny_pipeline(timestep_spacing=spacing)) for spacing in ("leading", "trailing"))
    batch = batch_of(ours)
    plan = FixedScheduleMethod(Config(num_steps=num_steps, spacing="trailing")).plan(ours, batch)
    expected = theirs.sample(SamplingPlan(batch.source, num_steps=num_steps), batch.embedding)
    torch.testing.assert_close(ours.sample(plan, batch.embedding), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_flow_trails_in_equal_parts_that_are_shifted() -> None:
    model = from_pipeline(tiny_sd3_pipeline())
    expected = [3 * sigma / (1 + 2 * sigma) for sigma in (1.0, 0.75, 0.5, 0.25, 0.0)]
    assert levels_of(model, num_steps=4, spacing="trailing") == pytest.approx(expected, abs=1e-6)


def test_karras_is_even_in_the_seventh_root_of_sigma() -> None:
    model: Any = from_pipeline(tiny_pipeline())
    alpha_bars = model._pipe.scheduler.alphas_cumprod.double()
    sigmas = ((1 - alpha_bars) / alpha_bars).sqrt()
    levels = torch.tensor(levels_of(model, num_steps=8, spacing="karras"), dtype=torch.float64)
    found = [math.sqrt(1 / each - 1) ** (1 / 7) for each in model._schedule._alpha_bars_at(levels)]
    start, end = float(sigmas[-1]) ** (1 / 7), float(sigmas[0]) ** (1 / 7)
    assert found == pytest.approx([start + (end - start) * i / 8 for i in range(9)], rel=1e-5)


@pytest.mark.parametrize(
    ("make", "name"), [(tiny_pipeline, "StableDiffusionTimesteps"), (tiny_xl_pipeline, "StableDiffusionXLTimesteps")]
)
def test_align_your_steps_are_the_published_ten_and_lie_between_them_for_other_numbers(make: Any, name: str) -> None:
    model = from_pipeline(make())
    published = [float(each) for each in AysSchedules[name]]
    assert timesteps_of(model, num_steps=10, spacing="ays") == published
    assert timesteps_of(model, timesteps=published) == published
    twice = timesteps_of(model, num_steps=20, spacing="ays")
    assert twice[::2] == published
    assert all(
        before > each > after for before, each, after in zip(twice[::2], twice[1::2], [*twice[2::2], 0.0], strict=True)
    )


@pytest.mark.parametrize("levels", ["laplace", "uniform", {"kind": "cauchy", "scale": 2.0}])
@pytest.mark.parametrize("make", [tiny_pipeline, tiny_sd3_pipeline, tiny_flux_pipeline])
def test_steps_lie_at_the_quantiles_of_a_density(make: Any, levels: Any) -> None:
    model = from_pipeline(make())
    found = levels_of(model, num_steps=7, levels=levels)
    assert (len(found), found[-1]) == (8, 0)
    assert all(level > below for level, below in pairwise(found))
    assert 0 < found[-2] < found[0] < 1


def test_quantiles_are_those_of_the_log_snr_within_training() -> None:
    model: Any = from_pipeline(tiny_pipeline())
    alpha_bars = model._pipe.scheduler.alphas_cumprod.double()
    table = (alpha_bars / (1 - alpha_bars)).log().numpy()
    found = timesteps_of(model, num_steps=5, levels={"kind": "laplace", "mean": 0.5, "scale": 1.5})
    log_snrs = np.interp(found, np.arange(1000), table)
    laplace = stats.laplace(0.5, 1.5)
    below, above = laplace.cdf(table[-1]), laplace.cdf(table[0])
    expected = laplace.ppf(below + np.array([0.1, 0.3, 0.5, 0.7, 0.9]) * (above - below))
    assert log_snrs == pytest.approx(expected, abs=1e-5)
    assert timesteps_of(model, num_steps=5, levels="uniform") == pytest.approx([899.1, 699.3, 499.5, 299.7, 99.9])


def test_a_flow_has_them_in_sigma() -> None:
    # log SNR is 2 log((1 - sigma) / sigma): uniform timesteps are uniform sigmas, the logit-normal's median is 1 / 2.
    model = from_pipeline(tiny_sd3_pipeline())
    assert levels_of(model, num_steps=4, levels="uniform")[:-1] == pytest.approx([0.875, 0.625, 0.375, 0.125], abs=1e-3)
    found = levels_of(model, num_steps=3, levels="logit_normal")
    assert found[:-1] == pytest.approx(special.expit(stats.norm.ppf([5 / 6, 1 / 2, 1 / 6])), abs=1e-3)


@pytest.mark.parametrize("levels", ["cosine", "laplace", "polynomial"])
@torch.no_grad()
def test_the_shapes_world_walks_down_a_density(levels: str) -> None:
    config = load(["model.num_steps=4"])
    model = load_model(config.model, config.compute)
    batch = batch_of(model)
    plan = FixedScheduleMethod(Config(levels=levels)).plan(model, batch)
    assert len(plan.schedule.levels) == 5  # type: ignore[union-attr]
    latents = model.sample(plan, batch.embedding)
    assert latents.shape == batch.source.shape
    assert bool(latents.isfinite().all())


def test_a_schedule_without_levels_keeps_its_identity() -> None:
    assert "levels" not in methods.identity(Config())
    assert methods.identity(Config(levels="laplace"))["levels"] == "laplace"


def zero_terminal_snr() -> Any:
    return from_pipeline(tiny_pipeline(prediction_type="v_prediction", rescale_betas_zero_snr=True))


@pytest.mark.parametrize("num_steps", [1, 4, 8, 20])
def test_karras_from_pure_noise_are_the_sigmas_of_diffusers(num_steps: int) -> None:
    """Which takes 4096 for the first, where ours is infinite."""
    model = zero_terminal_snr()
    euler: Any = EulerDiscreteScheduler.from_config(model._pipe.scheduler.config, use_karras_sigmas=True)
    euler.set_timesteps(num_steps + 1)
    levels = torch.tensor(levels_of(model, num_steps=num_steps, spacing="karras"), dtype=torch.float64)
    alpha_bars = model._schedule._alpha_bars_at(levels)
    assert (levels[0], alpha_bars[0]) == (1.0, 0.0)
    found = [math.sqrt(1 / each - 1) for each in alpha_bars[1:]]
    assert found == pytest.approx(euler.sigmas[1:-1].tolist(), rel=2e-4)
    # The last is that of the end, which no network is told.
    told = model._schedule.timesteps_at(levels[:-1])
    assert told == pytest.approx(euler.timesteps[:-1].tolist(), abs=0.01)


def test_align_your_steps_from_pure_noise_are_the_published_ten() -> None:
    model, published = zero_terminal_snr(), [float(each) for each in AysSchedules["StableDiffusionTimesteps"]]
    assert timesteps_of(model, num_steps=10, spacing="ays") == published
    twice = timesteps_of(model, num_steps=20, spacing="ays")
    assert twice[::2] == published
    assert 850 < twice[1] < 999


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (
            tiny_pipeline,
            {"levels": {"kind": "laplace", "mean": 20.0}},
            r"^Only 2\.9e-10% of these noise levels lie between log SNR -5\.364 and 7\.069, where at least 1% must",
        ),
        (tiny_sd3_pipeline, {"spacing": "ays"}, r"^spacing=ays: .* Align Your Steps published timesteps for Stable"),
        (tiny_pixart_pipeline, {"spacing": "ays"}, r"^spacing=ays: .* Align Your Steps published timesteps for Stable"),
        (tiny_pipeline, {"timesteps": [1000.0, 3.0]}, r"^timesteps=\[1000\.0, 3\.0\]: .* below 1000, the steps of"),
        (tiny_sd3_pipeline, {"timesteps": [500.0, 0.0]}, r"^timesteps=\[500\.0, 0\.0\]: .* above 0, where a flow ends"),
        (tiny_sd3_pipeline, {"timesteps": [1001.0]}, r"^timesteps=\[1001\.0\]: .* at most 1000, the steps of training"),
    ],
)
def test_what_a_model_does_not_have_is_refused(make: Any, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        levels_of(from_pipeline(make()), **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"timesteps": [9.0, 3.0], "num_steps": 3},
            "num_steps=3: num_steps must be null or 2",
        ),
        (
            {"timesteps": [9.0], "spacing": "karras"},
            "spacing=karras: spacing must be uniform where timesteps",
        ),
        ({"levels": "laplace", "timesteps": [9.0]}, "levels=laplace: levels must be null beside timesteps and"),
        ({"levels": "laplace", "spacing": "karras"}, "levels=laplace: levels must be null beside timesteps and"),
        ({"levels": "lapalce"}, "levels=lapalce: there is no density of noise levels called lapalce; .*mean laplace?"),
        ({"levels": 3}, "levels=3: levels must be null, the name of a density, or a mapping with its kind"),
        ({"levels": {"scale": 1.0}}, "levels={'scale': 1.0}: levels must be null, the name of a density, or a mapping"),
        ({"levels": {"kind": "laplace", "scale": 0}}, "levels=.*: scale=0: scale must be a finite number above 0"),
        ({"levels": {"kind": "cosine", "mean": 0}}, "levels=.*: mean=0: there is no option mean in cosine"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Config(**options)
