"""The cosine schedule of a larger image (arXiv 2301.11093): its log SNR moved as a whole."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import ScipyLevels, of_scipy
from goldennoise.store.options import FINITE, Options, option


@dataclass(frozen=True)
class Config(Options):
    """A hyperbolic secant around `shift`: density sech((log SNR - shift) / 2) / (2 pi)."""

    kind: str = "cosine_shifted"
    shift: float = option(0.0, FINITE)
    """Added to the log SNR of the cosine schedule; simple diffusion has 2 log(64 / d) for images of d px."""


def build(config: Config, alpha_bars: np.ndarray) -> ScipyLevels:  # noqa: ARG001
    return of_scipy("hypsecant", config.shift, 2.0)
