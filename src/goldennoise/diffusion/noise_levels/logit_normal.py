"""Logit-normal time of a flow (Stable Diffusion 3, arXiv 2403.03206): log SNR is -2 logit(sigma)."""

from dataclasses import dataclass

import numpy as np

from goldennoise.diffusion.noise_levels.base import ScipyLevels, of_scipy
from goldennoise.store.options import FINITE, POSITIVE, Options, option


@dataclass(frozen=True)
class Config(Options):
    """Normal log SNR of mean -2 `mean` and standard deviation 2 `std`."""

    kind: str = "logit_normal"
    mean: float = option(0.0, FINITE)
    """Of logit(sigma), where x = (1 - sigma) x_0 + sigma noise."""
    std: float = option(1.0, POSITIVE)
    """Of logit(sigma), above 0."""


def build(config: Config, alpha_bars: np.ndarray) -> ScipyLevels:  # noqa: ARG001
    return of_scipy("norm", -2 * config.mean, 2 * config.std)
