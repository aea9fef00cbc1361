"""Log-normal sigma (EDM, arXiv 2206.00364, table 1): log SNR is -2 log sigma."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import ScipyLevels, of_scipy
from goldennoise.store.options import FINITE, POSITIVE, Options, option


@dataclass(frozen=True)
class Config(Options):
    """Normal log SNR of mean -2 `mean` and standard deviation 2 `std`."""

    kind: str = "edm"
    mean: float = option(-1.2, FINITE)
    """Of log sigma."""
    std: float = option(1.2, POSITIVE)
    """Of log sigma, above 0."""


def build(config: Config, alpha_bars: np.ndarray) -> ScipyLevels:  # noqa: ARG001
    return of_scipy("norm", -2 * config.mean, 2 * config.std)
