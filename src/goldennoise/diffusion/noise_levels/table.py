"""The noise levels of a training schedule: log SNR at its timesteps, linear between them."""

from collections.abc import Sequence

import numpy as np

from goldennoise.diffusion.noise_levels.base import Numbers, in_float64
from goldennoise.errors import require

ALMOST_NOISE = 2**-24
"""Alpha-bar in place of 0 where a finite log SNR or sigma is needed, as in diffusers' schedulers that count in sigma:
sigma 4096."""


def stable_diffusion() -> np.ndarray:
    """alpha-bar (1000,) of Stable Diffusion's training: betas scaled_linear from 0.00085 to 0.012."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return np.cumprod(1 - betas)


def log_snrs(alpha_bars: np.ndarray | Sequence[float]) -> np.ndarray:
    """log SNR (T,), falling, float64, of alpha-bar (T,); that of `ALMOST_NOISE` for alpha-bar 0.

    Raises `ConfigError` for numbers that are no alpha-bar.
    """
    table = np.asarray(alpha_bars, np.float64)
    fits = table.ndim == 1 and len(table) > 1 and table[0] < 1 and table[-1] >= 0 and bool((np.diff(table) < 0).all())
    require(fits, "alpha_bars", table, "two falling numbers or more, the first below 1, the last at least 0")
    table = np.where(table == 0, ALMOST_NOISE, table)
    return np.log(table) - np.log1p(-table)


def log_snr_range(alpha_bars: np.ndarray | Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest log SNR of a training schedule (T,)."""
    table = log_snrs(alpha_bars)
    return float(table[-1]), float(table[0])


def timesteps_of(log_snr: Numbers, alpha_bars: np.ndarray | Sequence[float]) -> Numbers:
    """The real-valued timesteps in [0, T - 1] at which a training schedule (T,) has these log SNRs.

    Outside its range it is the nearer end.
    """
    # np.interp takes rising numbers.
    rising = -log_snrs(alpha_bars)
    return in_float64(lambda wanted: np.interp(-wanted, rising, np.arange(len(rising))), log_snr)


def log_snr_at(t: Numbers, alpha_bars: np.ndarray | Sequence[float]) -> Numbers:
    """The log SNRs at real-valued timesteps of a training schedule (T,), beyond its ends those of the ends.

    -inf at T - 1 alone if alpha-bar is 0 there.
    """
    table = log_snrs(alpha_bars)
    end = -np.inf if alpha_bars[-1] == 0 else table[-1]

    def interpolated(timesteps: np.ndarray) -> np.ndarray:
        found = np.interp(timesteps, np.arange(len(table)), table)
        return np.where(timesteps >= len(table) - 1, end, found)

    return in_float64(interpolated, t)
