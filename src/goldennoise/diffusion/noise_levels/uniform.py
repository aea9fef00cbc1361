"""Uniform timesteps, as the model itself was trained: what log SNR they have on its schedule."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import NoiseLevels
from goldennoise.diffusion.noise_levels.table import log_snr_at, log_snrs, timesteps_of
from goldennoise.store.options import Options


@dataclass(frozen=True)
class Config(Options):
    """It has no options: the model's training schedule decides."""

    kind: str = "uniform"


class UniformTimesteps(NoiseLevels):
    """The log SNR of a training schedule (T,) at t uniform in [0, T - 1], linear between timesteps.

    If alpha-bar is 0 at T - 1, the log SNR is -inf there alone, at u = 0.
    """

    def __init__(self, alpha_bars: np.ndarray) -> None:
        self._rising = log_snrs(alpha_bars)[::-1]
        self._alpha_bars, self._last = alpha_bars, len(alpha_bars) - 1

    def _quantile(self, u: np.ndarray) -> np.ndarray:
        return log_snr_at((1 - u) * self._last, self._alpha_bars)

    def _cdf(self, log_snr: np.ndarray) -> np.ndarray:
        return 1 - timesteps_of(log_snr, self._alpha_bars) / self._last

    def _density(self, log_snr: np.ndarray) -> np.ndarray:
        lengths = np.diff(self._rising)
        stretch = np.searchsorted(self._rising, log_snr, side="right") - 1
        # The highest log SNR ends the last stretch.
        stretch = np.where(log_snr == self._rising[-1], len(lengths) - 1, stretch)
        inside = (stretch >= 0) & (stretch < len(lengths))
        return np.where(inside, 1 / (self._last * lengths[np.where(inside, stretch, 0)]), 0.0)


def build(config: Config, alpha_bars: np.ndarray) -> UniformTimesteps:  # noqa: ARG001
    return UniformTimesteps(alpha_bars)
