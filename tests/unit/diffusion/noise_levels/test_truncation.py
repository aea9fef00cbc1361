"""Draws within a range: a density restricted to it, not clamped onto its ends."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

import goldennoise
from goldennoise.diffusion.noise_levels.table import log_snr_range, stable_diffusion, timesteps_of
from goldennoise.diffusion.noise_levels.truncation import truncated
from goldennoise.errors import ConfigError

RANGE = log_snr_range(stable_diffusion())


@pytest.mark.parametrize("kind", ["cosine", "cauchy", "edm", "laplace", "polynomial", "uniform"])
def test_draws_stay_inside_and_gather_nowhere(kind: str) -> None:
    whole = goldennoise.noise_levels(kind)
    levels = truncated(whole, *RANGE)
    u = torch.rand(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()
    draws = levels.quantile(np.concatenate([[0.0, 1.0], u]))
    assert (draws[0], draws[1]) == pytest.approx(RANGE, abs=1e-9)
    assert draws.min() >= RANGE[0]
    assert draws.max() <= RANGE[1]
    assert len(np.unique(draws[2:])) == len(np.unique(u))
    assert stats.kstest(draws[2:], levels.cdf).pvalue > 1e-3
    # Of what the whole density draws, those inside have the same distribution.
    inside = whole.quantile(u)
    inside = inside[(inside > RANGE[0]) & (inside < RANGE[1])]
    assert stats.kstest(inside, levels.cdf).pvalue > 1e-3


def test_it_is_a_density_again() -> None:
    whole = goldennoise.noise_levels("cauchy")
    levels = truncated(whole, *RANGE)
    kinks = np.linspace(*RANGE, 50)
    mass, _ = quad(levels.density, *RANGE, points=kinks, limit=500)
    assert mass == pytest.approx(1, abs=1e-9)
    assert levels.density(0.0) / whole.density(0.0) == pytest.approx(1 / 0.948, abs=1e-3)
    assert levels.density(np.array([-5.4, 7.1])).tolist() == [0, 0]
    assert levels.cdf(np.array([-6.0, *RANGE, 8.0])) == pytest.approx([0, 0, 1, 1])
    u = np.linspace(0.01, 0.99, 99)
    assert levels.cdf(levels.quantile(u)) == pytest.approx(u, abs=1e-9)


def test_real_timesteps_have_no_atoms_either() -> None:
    alpha_bars = stable_diffusion()
    u = torch.rand(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = timesteps_of(truncated(goldennoise.noise_levels("cosine"), *RANGE).quantile(u), alpha_bars)
    assert (t.min().item() >= 0, t.max().item() <= 999) == (True, True)
    assert len(t.unique()) == len(u)


def test_too_little_inside_is_refused() -> None:
    far = goldennoise.noise_levels("laplace", mean=9.5, scale=0.5)
    with pytest.raises(ConfigError, match=r"Only 0\.39% of these noise levels lie between log SNR -5\.364 and 7\.069"):
        truncated(far, *RANGE)
    truncated(goldennoise.noise_levels("laplace", mean=8.9, scale=0.5), *RANGE)
