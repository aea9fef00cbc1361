"""A density within a range of log SNR."""

import numpy as np

from goldennoise.diffusion.noise_levels.base import NoiseLevels
from goldennoise.errors import ConfigError

LEAST_MASS = 0.01
"""Of a density, to be left in the range."""


class Truncated(NoiseLevels):
    """A density on [lowest, highest] alone, divided by its mass there.

    No draw is moved to an end, as clamping would do: u runs over the shares between those of the two ends.
    """

    def __init__(self, levels: NoiseLevels, lowest: float, highest: float) -> None:
        self._levels, self._ends = levels, (lowest, highest)
        self._below = levels.cdf(lowest)
        self._mass = levels.cdf(highest) - self._below
        if self._mass < LEAST_MASS:
            raise ConfigError(
                f"Only {100 * max(self._mass, 0):.2g}% of these noise levels lie between log SNR {lowest:.4g} and "
                f"{highest:.4g}, where at least {LEAST_MASS:.0%} must: choose a wider density, or one centred there."
            )

    def _quantile(self, u: np.ndarray) -> np.ndarray:
        # Clipped for rounding alone.
        return np.clip(self._levels.quantile(np.clip(self._below + u * self._mass, 0, 1)), *self._ends)

    def _cdf(self, log_snr: np.ndarray) -> np.ndarray:
        return np.clip((self._levels.cdf(log_snr) - self._below) / self._mass, 0, 1)

    def _density(self, log_snr: np.ndarray) -> np.ndarray:
        lowest, highest = self._ends
        inside = (log_snr >= lowest) & (log_snr <= highest)
        return np.where(inside, self._levels.density(log_snr) / self._mass, 0.0)


def truncated(levels: NoiseLevels, lowest: float, highest: float) -> NoiseLevels:
    """The density restricted to log SNR in [lowest, highest]: its u is the quantile at F(lowest) + u (F(highest) -
    F(lowest)). Raises `ConfigError` where less than 1 % of the density lies inside.
    """
    return Truncated(levels, lowest, highest)
