"""The cosine schedule with its log SNR divided by a factor (arXiv 2407.03297)."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import ScipyLevels, of_scipy
from goldennoise.store.options import POSITIVE, Options, option


@dataclass(frozen=True)
class Config(Options):
    """A hyperbolic secant around 0: density scale sech(scale log SNR / 2) / (2 pi)."""

    kind: str = "cosine_scaled"
    scale: float = option(1.0, POSITIVE)
    """Above 0; of 2 the log SNRs lie half as wide as those of the cosine schedule."""


def build(config: Config, alpha_bars: np.ndarray) -> ScipyLevels:  # noqa: ARG001
    return of_scipy("hypsecant", 0.0, 2.0 / config.scale)
