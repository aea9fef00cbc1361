"""Uniform timesteps, drawn as often as a power of their SNR says: importance sampling of a loss weight."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import NoiseLevels
from goldennoise.diffusion.noise_levels.table import log_snrs
from goldennoise.store.options import Check, Options, option

_POWER = Check(lambda power: 0 < abs(power) <= 10, "between -10 and 10, and not 0, which is uniform")


@dataclass(frozen=True)
class Config(Options):
    """Density of uniform timesteps times SNR^power, normalised."""

    kind: str = "uniform_snr_power"
    power: float = option(-0.5, _POWER)
    """Of SNR, not 0. -0.5 draws levels as often as the loss weight SNR^-1/2 weights them."""


class UniformSnrPower(NoiseLevels):
    """On every stretch between two timesteps of a schedule (T,) with finite log SNR the density is exponential."""

    def __init__(self, power: float, alpha_bars: np.ndarray) -> None:
        table = log_snrs(alpha_bars)
        self._edges, self._power = table[np.isfinite(table)][::-1], power
        lengths = np.diff(self._edges)
        self._starts = np.exp(power * self._edges[:-1]) / lengths
        masses = self._starts * np.expm1(power * lengths) / power
        self._below, self._mass = np.concatenate([[0.0], np.cumsum(masses)]), masses.sum()

    def _quantile(self, u: np.ndarray) -> np.ndarray:
        stretch = self._stretch(self._below, u * self._mass)
        inside = (u * self._mass - self._below[stretch]) / self._starts[stretch]
        return self._edges[stretch] + np.log1p(self._power * inside) / self._power

    def _cdf(self, log_snr: np.ndarray) -> np.ndarray:
        clipped = np.clip(log_snr, self._edges[0], self._edges[-1])
        stretch = self._stretch(self._edges, clipped)
        along = np.expm1(self._power * (clipped - self._edges[stretch])) / self._power
        return (self._below[stretch] + self._starts[stretch] * along) / self._mass

    def _density(self, log_snr: np.ndarray) -> np.ndarray:
        stretch = self._stretch(self._edges, log_snr)
        found = self._starts[stretch] * np.exp(self._power * (log_snr - self._edges[stretch])) / self._mass
        return np.where((log_snr >= self._edges[0]) & (log_snr <= self._edges[-1]), found, 0.0)

    def _stretch(self, rising: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Number of the stretch that a value lies in, one of the ends for a value outside."""
        return np.clip(np.searchsorted(rising, value, side="right") - 1, 0, len(self._edges) - 2)


def build(config: Config, alpha_bars: np.ndarray) -> UniformSnrPower:
    return UniformSnrPower(config.power, alpha_bars)
