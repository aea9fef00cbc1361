"""A polynomial distribution over Karras' sigmas (arXiv 2404.06353), continuous in place of a grid of N sigmas.

Published: sigma is number round(w^curve (N - 1) + noise of unit variance) of N rising sigmas, with w uniform. Here N is
without bound: sigma^(1/rho) lies a share w^curve of the way from sigma_min^(1/rho) to sigma_max^(1/rho).
"""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import NoiseLevels
from goldennoise.errors import require
from goldennoise.store.options import POSITIVE, Options, option


@dataclass(frozen=True)
class Config(Options):
    """Log SNR is -2 log sigma, from -2 log sigma_max to -2 log sigma_min."""

    kind: str = "polynomial"
    curve: float = option(4.0, POSITIVE)
    """Power of the uniform draw, above 0; 1 spreads sigma^(1/rho) evenly, more gives more low noise."""
    rho: float = option(7.0, POSITIVE)
    """Of the Karras sigmas (arXiv 2206.00364, eq. 5), above 0."""
    sigma_min: float = option(0.002, POSITIVE)
    """The lowest noise, above 0."""
    sigma_max: float = option(80.0, POSITIVE)
    """The highest noise, above sigma_min."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.sigma_max > self.sigma_min, "sigma_max", self.sigma_max, f"above sigma_min={self.sigma_min}")


class PolynomialSigmas(NoiseLevels):
    def __init__(self, config: Config) -> None:
        self._curve, self._rho = config.curve, config.rho
        self._lowest, self._highest = -2 * np.log(config.sigma_max), -2 * np.log(config.sigma_min)
        self._start = config.sigma_min ** (1 / config.rho)
        self._length = config.sigma_max ** (1 / config.rho) - self._start

    def _quantile(self, u: np.ndarray) -> np.ndarray:
        # sigma rises with w, so log SNR rises with 1 - w.
        return -2 * self._rho * np.log(self._start + self._length * (1 - u) ** self._curve)

    def _cdf(self, log_snr: np.ndarray) -> np.ndarray:
        return 1 - self._share(log_snr) ** (1 / self._curve)

    def _density(self, log_snr: np.ndarray) -> np.ndarray:
        root = np.exp(-np.clip(log_snr, self._lowest, self._highest) / (2 * self._rho))
        with np.errstate(divide="ignore"):
            # With a curve above 1 it grows without bound towards sigma_min, and its integral does not.
            slope = self._share(log_snr) ** (1 / self._curve - 1) / self._curve
        inside = (log_snr >= self._lowest) & (log_snr <= self._highest)
        return np.where(inside, slope * root / (2 * self._rho * self._length), 0.0)

    def _share(self, log_snr: np.ndarray) -> np.ndarray:
        """w^curve, from 0 at sigma_min to 1 at sigma_max."""
        return np.clip((np.exp(-log_snr / (2 * self._rho)) - self._start) / self._length, 0, 1)


def build(config: Config, alpha_bars: np.ndarray) -> PolynomialSigmas:  # noqa: ARG001
    return PolynomialSigmas(config)
