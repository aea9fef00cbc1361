"""What a density of log SNR is. Imports no torch: the command line reads Configs first."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from goldennoise.errors import require

if TYPE_CHECKING:
    from torch import Tensor

Numbers = TypeVar("Numbers", float, np.ndarray, "Tensor")
"""A float, an array or a tensor of any shape; a result has its shape, dtype and device."""


class NoiseLevels(ABC):
    """A density of the log SNR of noise levels, computed in float64.

    A component defines the three functions with an underscore, which take and give float64 arrays.
    """

    def quantile(self, u: Numbers) -> Numbers:
        """The log SNR below which a share u of the noise levels lies; rises with u.

        u: from 0 to 1. Uniform draws of u give draws of the density. At 0 and 1 the log SNR may be infinite.
        Raises `ConfigError` for u outside.
        """
        return in_float64(self._checked_quantile, u)

    def cdf(self, log_snr: Numbers) -> Numbers:
        """The share of the noise levels below a log SNR, from 0 to 1; the inverse of `quantile`."""
        return in_float64(self._cdf, log_snr)

    def density(self, log_snr: Numbers) -> Numbers:
        """The derivative of `cdf`, per unit of log SNR."""
        return in_float64(self._density, log_snr)

    def _checked_quantile(self, u: np.ndarray) -> np.ndarray:
        outside = u[~((u >= 0) & (u <= 1))]
        require(outside.size == 0, "u", outside[:1], "between 0 and 1")
        return self._quantile(u)

    @abstractmethod
    def _quantile(self, u: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _cdf(self, log_snr: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _density(self, log_snr: np.ndarray) -> np.ndarray: ...


class ScipyLevels(NoiseLevels):
    """A distribution of `scipy.stats` as a density of log SNR."""

    def __init__(self, distribution: Any) -> None:
        self._distribution = distribution

    def _quantile(self, u: np.ndarray) -> np.ndarray:
        return self._distribution.ppf(u)

    def _cdf(self, log_snr: np.ndarray) -> np.ndarray:
        return self._distribution.cdf(log_snr)

    def _density(self, log_snr: np.ndarray) -> np.ndarray:
        return self._distribution.pdf(log_snr)


def of_scipy(name: str, location: float, scale: float) -> ScipyLevels:
    """The distribution of `scipy.stats` of this name, moved and stretched."""
    from scipy import stats  # takes seconds, and a Config is read without it

    return ScipyLevels(getattr(stats, name)(location, scale))


def in_float64(function: Callable[[np.ndarray], np.ndarray], numbers: Numbers) -> Numbers:
    """`function` of float64 arrays, applied to a float, an array or a tensor; whole numbers give float64."""
    if isinstance(numbers, int | float):
        return float(function(np.asarray(numbers, np.float64)))
    if isinstance(numbers, np.ndarray | np.generic):
        dtype = numbers.dtype if numbers.dtype.kind == "f" else np.dtype(np.float64)
        return np.asarray(function(np.asarray(numbers, np.float64)), dtype)
    wide = numbers.detach().cpu().double()
    found = wide.new_tensor(function(wide.numpy()))
    return found.to(numbers) if numbers.is_floating_point() else found.to(numbers.device)
