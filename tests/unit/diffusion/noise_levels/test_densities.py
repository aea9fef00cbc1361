"""Densities of log SNR against the closed forms of their papers, scipy and the schedule of Stable Diffusion."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from scipy import special, stats

import goldennoise
from goldennoise.diffusion import noise_levels as densities
from goldennoise.diffusion.noise_levels.table import log_snr_at, log_snr_range, timesteps_of
from goldennoise.diffusion.noise_levels.truncation import truncated
from goldennoise.errors import ConfigError

U = np.linspace(0.01, 0.99, 99)
LOG_SNRS = np.linspace(-8, 8, 161)
AS_SCIPY: list[tuple[str, dict[str, float], Any]] = [
    ("cosine", {}, stats.hypsecant(scale=2)),
    ("cosine_shifted", {"shift": -1.4}, stats.hypsecant(-1.4, 2)),
    ("cosine_scaled", {"scale": 2.5}, stats.hypsecant(0, 2 / 2.5)),
    ("laplace", {"mean": 0.3, "scale": 0.75}, stats.laplace(0.3, 0.75)),
    ("cauchy", {"mean": -0.2, "scale": 1.5}, stats.cauchy(-0.2, 1.5)),
    ("edm", {}, stats.norm(2.4, 2.4)),
    ("logit_normal", {"mean": 0.5, "std": 1.2}, stats.norm(-1.0, 2.4)),
]
SHIPPED = ("cauchy", "cosine", "cosine_scaled", "cosine_shifted", "edm", "laplace", "logit_normal", "polynomial")


def closed_form_quantile(kind: str, u: np.ndarray, **options: float) -> np.ndarray:
    """As section 3 of arXiv 2407.03297 writes log SNR, at time t = 1 - u."""
    t = 1 - u
    cosine = 2 * np.log(1 / np.tan(np.pi * t / 2))
    if kind.startswith("cosine"):
        return options.get("shift", 0.0) + cosine / options.get("scale", 1.0)
    mean, scale = options["mean"], options["scale"]
    if kind == "laplace":
        return mean - scale * np.sign(0.5 - t) * np.log(1 - 2 * np.abs(t - 0.5))
    return mean + scale * np.tan(np.pi / 2 * (1 - 2 * t))


def closed_form_density(kind: str, log_snr: np.ndarray, **options: float) -> np.ndarray:
    if kind.startswith("cosine"):
        scale = options.get("scale", 1.0)
        return scale / np.cosh(scale * (log_snr - options.get("shift", 0.0)) / 2) / (2 * np.pi)
    mean, scale = options["mean"], options["scale"]
    if kind == "laplace":
        return np.exp(-np.abs(log_snr - mean) / scale) / (2 * scale)
    return scale / np.pi / ((log_snr - mean) ** 2 + scale**2)


@pytest.mark.parametrize(("kind", "options", "expected"), AS_SCIPY)
def test_quantile_cdf_and_density_are_those_of_scipy(kind: str, options: dict[str, float], expected: Any) -> None:
    levels = goldennoise.noise_levels(kind, **options)
    assert levels.quantile(U) == pytest.approx(expected.ppf(U), abs=1e-9)
    assert levels.cdf(LOG_SNRS) == pytest.approx(expected.cdf(LOG_SNRS), abs=1e-9)
    assert levels.density(LOG_SNRS) == pytest.approx(expected.pdf(LOG_SNRS), abs=1e-9)


@pytest.mark.parametrize(("kind", "options"), [row[:2] for row in AS_SCIPY[:5]])
def test_they_are_the_closed_forms_of_the_paper(kind: str, options: dict[str, float]) -> None:
    levels = goldennoise.noise_levels(kind, **options)
    assert levels.quantile(U) == pytest.approx(closed_form_quantile(kind, U, **options), abs=1e-9)
    assert levels.density(LOG_SNRS) == pytest.approx(closed_form_density(kind, LOG_SNRS, **options), abs=1e-9)


def test_the_uniform_time_of_a_flow_is_logistic() -> None:
    # log SNR is 2 log((1 - t) / t), which the logit-normal replaces.
    t = torch.rand(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest(2 * np.log((1 - t) / t), stats.logistic(scale=2).cdf).pvalue > 1e-3
    normal = torch.randn(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()
    t = 1 / (1 + np.exp(-(0.5 + 1.2 * normal)))
    cdf = goldennoise.noise_levels("logit_normal", mean=0.5, std=1.2).cdf
    assert stats.kstest(2 * np.log((1 - t) / t), cdf).pvalue > 1e-3


def test_polynomial_is_the_limit_of_the_published_grid() -> None:
    u, num_sigmas = (np.arange(50_000) + 0.5) / 50_000, 1_000_000
    start, end = 0.002 ** (1 / 7), 80 ** (1 / 7)
    sigmas = (start + np.arange(num_sigmas) / (num_sigmas - 1) * (end - start)) ** 7
    published = -2 * np.log(sigmas[np.rint(u**4 * (num_sigmas - 1)).astype(int)])
    levels = goldennoise.noise_levels("polynomial", curve=4.0)
    assert levels.quantile(1 - u) == pytest.approx(published, abs=1e-4)
    assert levels.cdf(np.array([-20.0, 20.0])).tolist() == [0, 1]
    assert levels.density(np.array([-20.0, 20.0])).tolist() == [0, 0]


def test_every_density_is_tested() -> None:
    assert densities.kinds() == sorted([*SHIPPED, "uniform", "uniform_snr_power"])


@pytest.mark.parametrize("kind", [*SHIPPED, "uniform"])
def test_the_three_functions_belong_together(kind: str) -> None:
    levels = goldennoise.noise_levels(kind)
    assert levels.cdf(levels.quantile(U)) == pytest.approx(U, abs=1e-8)
    assert (np.diff(levels.quantile(U)) > 0).all()
    # Not to the highest log SNR, where the polynomial density grows without bound.
    edges = levels.quantile(np.array([0.01, 0.85]))
    middles, width = np.linspace(*edges, 1_000_000, endpoint=False, retstep=True)
    assert (levels.density(middles + width / 2) * width).sum() == pytest.approx(0.84, abs=1e-6)
    u = torch.rand(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert stats.kstest(levels.quantile(u).numpy(), levels.cdf).pvalue > 1e-3


@pytest.fixture
def alpha_bars() -> np.ndarray:
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    return scheduler.alphas_cumprod.double().numpy()


def test_uniform_timesteps_of_stable_diffusion(alpha_bars: np.ndarray) -> None:
    assert log_snr_range(alpha_bars) == pytest.approx((-5.3640, 7.0694), abs=5e-5)
    assert 353 < timesteps_of(0.0, alpha_bars) < 354
    levels = goldennoise.noise_levels("uniform", alpha_bars=alpha_bars)
    five = levels.quantile(np.array([0.05, 0.25, 0.5, 0.75, 0.95]))
    assert five == pytest.approx([-4.78, -2.82, -0.96, 0.73, 2.98], abs=6e-3)
    assert goldennoise.noise_levels("uniform").quantile(U) == pytest.approx(levels.quantile(U), abs=1e-4)
    at_five = levels.density(np.array([-4.0, -2.0, 0.0, 2.0, 4.0]))
    assert at_five == pytest.approx([0.098, 0.133, 0.150, 0.082, 0.019], abs=6e-4)
    assert levels.density(np.array([-5.4, 7.1])).tolist() == [0, 0]
    assert levels.cdf(np.array([-6.0, 8.0])).tolist() == [0, 1]


def test_the_laplace_schedule_of_diffusers_is_another() -> None:
    """Its alpha-bar is the square root of what Laplace-distributed log SNR has, so 18 % of an image is left at its end
    in place of 3 %: the reason why no schedule here is made by `beta_schedule="laplace"`.
    """
    theirs = DDPMScheduler(beta_schedule="laplace").alphas_cumprod.double().numpy()
    t = np.arange(1, 1000) / 1000
    log_snrs = goldennoise.noise_levels("laplace", mean=0.0, scale=0.5).quantile(1 - t)
    ours = special.expit(log_snrs)
    assert theirs[:-1] == pytest.approx(np.sqrt(ours), abs=2e-3)
    assert (theirs[499], ours[499]) == pytest.approx((0.7075, 0.5), abs=1e-3)
    # At its end it has an alpha-bar of 0.0316, the root of the 0.0010 meant, and so keeps the root of that of an image.
    assert (theirs[-1], theirs[-1] ** 0.5) == pytest.approx((0.001**0.5, 0.178), abs=1e-3)


def test_timesteps_and_log_snr_are_inverse(alpha_bars: np.ndarray) -> None:
    t = np.linspace(0, 999, 4000)
    assert timesteps_of(log_snr_at(t, alpha_bars), alpha_bars) == pytest.approx(t, abs=1e-8)
    at_integers = log_snr_at(torch.arange(1000), alpha_bars)
    assert at_integers.numpy() == pytest.approx(np.log(alpha_bars / (1 - alpha_bars)), abs=1e-12)
    assert log_snr_at(500.5, alpha_bars) == pytest.approx(at_integers[500:502].mean().item())
    assert timesteps_of(np.array([9.0, -9.0, np.inf, -np.inf]), alpha_bars).tolist() == [0, 999, 0, 999]


def test_a_schedule_that_ends_in_pure_noise(alpha_bars: np.ndarray) -> None:
    alpha_bars = np.append(alpha_bars[:-1], 0.0)
    lowest, before = math.log(2**-24 / (1 - 2**-24)), math.log(alpha_bars[998] / (1 - alpha_bars[998]))
    assert log_snr_range(alpha_bars) == pytest.approx((lowest, 7.0694), abs=5e-5)
    at_the_end = log_snr_at(np.array([998.0, 998.5, 999.0]), alpha_bars)
    assert at_the_end.tolist() == pytest.approx([before, (before + lowest) / 2, -np.inf])
    assert timesteps_of(at_the_end, alpha_bars) == pytest.approx([998, 998.5, 999])
    uniform = goldennoise.noise_levels("uniform", alpha_bars=alpha_bars)
    assert uniform.quantile(np.array([0.0, 0.5 / 999])).tolist() == pytest.approx([-np.inf, (before + lowest) / 2])
    assert uniform.cdf(np.array([-np.inf, before])).tolist() == pytest.approx([0, 1 / 999])
    # A density of draws that has log SNR -inf at a single point gathers nowhere.
    levels = truncated(goldennoise.noise_levels("cauchy"), *log_snr_range(alpha_bars))
    draws = timesteps_of(levels.quantile(U), alpha_bars)
    assert (len(np.unique(draws)), draws.max() < 999) == (len(U), True)


def test_what_goes_in_comes_out() -> None:
    levels = goldennoise.noise_levels("laplace")
    expected = math.log(2 * 0.1) * 0.5
    assert type(levels.quantile(0.1)) is float
    assert type(levels.density(0)) is float
    assert levels.quantile(0.1) == pytest.approx(expected, abs=1e-12)
    array = levels.quantile(np.full((2, 3), 0.1, np.float32))
    assert (array.dtype, array.shape, array[1, 2]) == (np.float32, (2, 3), np.float32(expected))
    assert levels.cdf(np.array([0])).dtype == np.float64
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        tensor = levels.cdf(torch.zeros(2, 1, dtype=dtype, requires_grad=True))
        assert (tensor.dtype, tensor.shape, tensor.tolist()) == (dtype, (2, 1), [[0.5], [0.5]])
    assert levels.cdf(torch.tensor([0])).dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("lapalce",), {}, "no density of noise levels called lapalce; .*did you mean laplace?"),
        ((3,), {}, "kind=3: kind must be one of cauchy, "),
        (("laplace",), {"scael": 1}, "scael=1: there is no option scael in laplace; .*did you mean scale?"),
        (("cosine",), {"scale": 1}, "there is no option scale in cosine; cosine has none"),
        (("laplace",), {"scale": 0}, "scale=0: scale must be a finite number above 0"),
        (("cauchy",), {"scale": -1.0}, "scale=-1.0: scale must be a finite number above 0"),
        (("cosine_scaled",), {"scale": 0.0}, "scale=0.0: scale must be a finite number above 0"),
        (("laplace",), {"mean": math.nan}, "mean=nan: mean must be a finite number"),
        (("edm",), {"std": "wide"}, "std='wide': std must be a number"),
        (("polynomial",), {"sigma_max": 0.001}, "sigma_max=0.001: sigma_max must be above sigma_min=0.002"),
        (("uniform", [0.5, 0.9]), {}, r"alpha_bars=\[0.5 0.9\]: alpha_bars must be two falling numbers or more"),
    ],
)
def test_mistakes_are_sentences(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        goldennoise.noise_levels(*arguments, **options)


def test_a_share_outside_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"u=\[1.5\]: u must be between 0 and 1"):
        goldennoise.noise_levels("edm").quantile(torch.tensor([0.5, 1.5]))


@pytest.mark.parametrize("power", [-0.5, 1.0])
def test_a_power_of_snr_times_uniform_timesteps(power: float) -> None:
    tilted, uniform = goldennoise.noise_levels("uniform_snr_power", power=power), goldennoise.noise_levels("uniform")
    grid = np.linspace(-5.3, 7.0, 2001)
    ratio = tilted.density(grid) / (uniform.density(grid) * np.exp(power * grid))
    assert ratio == pytest.approx(np.full_like(ratio, ratio[0]), rel=1e-9)
    assert tilted.quantile(tilted.cdf(grid)) == pytest.approx(grid, abs=1e-9)
    middles = (grid[1:] + grid[:-1]) / 2
    assert np.diff(tilted.cdf(grid)) == pytest.approx(np.diff(grid) * tilted.density(middles), abs=2e-4)
    assert tilted.cdf(np.array([-9.0, 9.0])) == pytest.approx(np.array([0.0, 1.0]))
    with pytest.raises(ConfigError, match="power must be between -10 and 10"):
        goldennoise.noise_levels("uniform_snr_power", power=0)
