"""The noise levels of a training schedule: log SNR at its timesteps, linear between them."""

from collections.abc import Sequence

import numpy as np

from goldennoise.diffusion.noise_levels.base import Numbers, in_float64
from goldennoise.errors import require


def stable_diffusion() -> np.ndarray:
    """alpha-bar (1000,) of Stable Diffusion's training: betas scaled_linear from 0.00085 to 0.012."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return np.cumprod(1 - betas)


def log_snrs(alpha_bars: np.ndarray | Sequence[float]) -> np.ndarray:
    """log SNR (T,), falling, float64, of alpha-bar (T,); -inf at the end if alpha-bar is 0 there.

    Raises `ConfigError` for numbers that are no alpha-bar.
    """
    table = np.asarray(alpha_bars, np.float64)
    fits = table.ndim == 1 and len(table) > 1 and table[0] < 1 and table[-1] >= 0 and bool((np.diff(table) < 0).all())
    require(fits, "alpha_bars", table, "two falling numbers or more, the first below 1, the last at least 0")
    with np.errstate(divide="ignore"):
        return np.log(table) - np.log1p(-table)


def log_snr_range(alpha_bars: np.ndarray | Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest finite log SNR of a training schedule (T,)."""
    finite = _finite(log_snrs(alpha_bars))
    return float(finite[-1]), float(finite[0])


def timesteps_of(log_snr: Numbers, alpha_bars: np.ndarray | Sequence[float]) -> Numbers:
    """The real-valued timesteps t in [0, T - 1] at which a training schedule (T,) has these log SNRs.

    Outside the finite range it is the nearest finite timestep; log SNR -inf is at T - 1.
    """
    table = log_snrs(alpha_bars)
    finite = _finite(table)

    def timesteps(wanted: np.ndarray) -> np.ndarray:
        # np.interp takes rising numbers.
        found = np.interp(-wanted, -finite, np.arange(len(finite)))
        return np.where(np.isneginf(wanted), len(table) - 1, found)

    return in_float64(timesteps, log_snr)


def log_snr_at(t: Numbers, alpha_bars: np.ndarray | Sequence[float]) -> Numbers:
    """The log SNRs at real-valued timesteps of a training schedule (T,), beyond its ends those of the ends.

    With alpha-bar 0 at T - 1 it is -inf from T - 2 on.
    """
    table = log_snrs(alpha_bars)
    finite = _finite(table)

    def interpolated(timesteps: np.ndarray) -> np.ndarray:
        found = np.interp(timesteps, np.arange(len(finite)), finite)
        return np.where(timesteps > len(finite) - 1, table[-1], found)

    return in_float64(interpolated, t)


def _finite(table: np.ndarray) -> np.ndarray:
    return table[np.isfinite(table)]
