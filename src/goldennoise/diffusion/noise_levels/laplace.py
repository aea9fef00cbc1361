"""Laplace-distributed log SNR (arXiv 2407.03297)."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import ScipyLevels, of_scipy
from goldennoise.store.options import FINITE, POSITIVE, Options, option


@dataclass(frozen=True)
class Config(Options):
    """Density exp(-|log SNR - mean| / scale) / (2 scale)."""

    kind: str = "laplace"
    mean: float = option(0.0, FINITE)
    """Log SNR that training sees most."""
    scale: float = option(0.5, POSITIVE)
    """Above 0; mean distance from `mean`. Published: 0.5 at 256 px, 0.75 at 512 px."""


def build(config: Config, alpha_bars: np.ndarray) -> ScipyLevels:  # noqa: ARG001
    return of_scipy("laplace", config.mean, config.scale)
