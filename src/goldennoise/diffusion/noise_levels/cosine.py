"""The cosine schedule (arXiv 2102.09672): log SNR 2 log cot(pi t / 2) at uniform t."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import ScipyLevels, of_scipy
from goldennoise.store.options import Options


@dataclass(frozen=True)
class Config(Options):
    """A hyperbolic secant around 0: density sech(log SNR / 2) / (2 pi). It has no options."""

    kind: str = "cosine"


def build(config: Config, alpha_bars: np.ndarray) -> ScipyLevels:  # noqa: ARG001
    return of_scipy("hypsecant", 0.0, 2.0)
