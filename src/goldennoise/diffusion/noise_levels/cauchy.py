"""Cauchy-distributed log SNR (arXiv 2407.03297)."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import ScipyLevels, of_scipy
from goldennoise.store.options import FINITE, POSITIVE, Options, option


@dataclass(frozen=True)
class Config(Options):
    """Density scale / (pi ((log SNR - mean)^2 + scale^2))."""

    kind: str = "cauchy"
    mean: float = option(0.0, FINITE)
    """Log SNR that training sees most."""
    scale: float = option(0.5, POSITIVE)
    """Above 0; half of the noise levels lie within it of `mean`."""


def build(config: Config, alpha_bars: np.ndarray) -> ScipyLevels:  # noqa: ARG001
    return of_scipy("cauchy", config.mean, config.scale)
