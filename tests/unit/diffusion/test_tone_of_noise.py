"""Tones: what is drawn, and where a sampler starts."""

from typing import Any

import pytest
import torch
from tiny import tiny_pipeline
from tiny_flows import tiny_sd3_pipeline

from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.schedules.schedulers import SCHEDULERS, SPACINGS, make_scheduler
from goldennoise.diffusion.tone import Tones, load_tones, toned
from goldennoise.errors import DataError, ModelError


def tones() -> Tones:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(64, 4, generator=generator) @ torch.randn(4, 4, generator=generator) + 0.5
    return Tones(mixed, torch.linspace(0, 100, 64))


def test_a_gaussian_has_the_mean_and_the_covariance() -> None:
    known = tones()
    drawn = known.draw("gaussian", range(20_000))
    torch.testing.assert_close(drawn.mean(0), known.channel_means.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.T.cov(), known.channel_means.T.cov(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("kind", ["other", "gaussian"])
def test_a_row_depends_on_its_seed_alone(kind: str) -> None:
    together = tones().draw(kind, [5, 2**62, 9])
    alone = torch.cat([tones().draw(kind, [seed]) for seed in (5, 2**62, 9)])
    torch.testing.assert_close(together, alone)


def test_no_light_image() -> None:
    with pytest.raises(DataError, match="none of the 64 images is lighter than mid grey: take others, or of=other"):
        tones().draw("light", [0])


def test_the_marginal_is_that_of_the_forward_process() -> None:
    """Mean and covariance of the channel means of sqrt(a) x_0 + sqrt(1 - a) z, in 3 standard errors."""
    known, alpha_bar, num = tones(), 0.3, 20_000
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(num, 4, 4, 4, generator=generator)
    found = toned(noise, known.draw("other", range(num)), alpha_bar).mean((2, 3))
    rows = torch.arange(num) % 64
    fresh = torch.randn(num, 4, 4, 4, generator=generator).mean((2, 3))
    expected = alpha_bar**0.5 * known.channel_means[rows] + (1 - alpha_bar) ** 0.5 * fresh
    error = (found.var(0) / num * 2).sqrt()
    assert ((found.mean(0) - expected.mean(0)).abs() < 3 * error).all()
    torch.testing.assert_close(found.T.cov(), expected.T.cov(), rtol=0.05, atol=0.01)


def test_saved_and_loaded(tmp_path: Any) -> None:
    tones().save(tmp_path / "tones.safetensors")
    assert torch.equal(load_tones(tmp_path / "tones.safetensors").channel_means, tones().channel_means)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("option", [option for option in SCHEDULERS if option not in ("lcm", "pndm")])
def test_where_the_sampler_starts(option: str, spacing: str) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = make_scheduler(option, pipe.scheduler.config, spacing)
    model = from_pipeline(pipe)
    pipe.scheduler.set_timesteps(model.num_steps)
    first = float(pipe.scheduler.timesteps[0])
    assert first == int(first)
    assert model.alpha_bar_of_start() == pytest.approx(float(pipe.scheduler.alphas_cumprod[int(first)]), rel=1e-6)


def test_a_flow_starts_from_pure_noise() -> None:
    with pytest.raises(ModelError, match="starts from pure noise"):
        from_pipeline(tiny_sd3_pipeline()).alpha_bar_of_start()
