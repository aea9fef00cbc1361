"""Schedules that are the same for every sample. Imports no torch: the command line reads Configs first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from goldennoise.diffusion.noise_levels import built
from goldennoise.diffusion.noise_levels.table import log_snr_range
from goldennoise.diffusion.noise_levels.truncation import truncated

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.plan import Features, Step

SPACINGS = ("uniform", "trailing", "karras", "ays")
"""How the levels lie between the start and the end.

uniform: as the model's own scheduler spaces timesteps evenly. trailing: evenly from the first timestep of training on.
karras: see `karras`. ays: as Align Your Steps (arXiv 2404.14507) found for the model.
"""
RHO = 7.0
"""Of `karras`, as published."""


@dataclass(frozen=True)
class FixedSchedule:
    """A `Schedule` of the same levels for every row."""

    levels: tuple[float, ...]
    """From the start of sampling down to 0, its end."""

    reads_features: ClassVar[bool] = False

    @property
    def start(self) -> float:
        return self.levels[0]

    def next(self, level: "Tensor", step: "Step", features: "Features | None") -> "Tensor":  # noqa: ARG002
        """The largest of the levels below each of `level` (R,)."""
        levels = level.new_tensor(self.levels)
        return (levels * (levels < level[:, None])).amax(dim=1)

    def taken(self, num_rows: int) -> list[tuple[float, ...]]:
        return [self.levels] * num_rows


@dataclass(frozen=True)
class ByRow:
    """A `Schedule` of fixed levels of its own for each row, all from the same start."""

    rows: tuple[FixedSchedule, ...]
    reads_features: ClassVar[bool] = False

    @property
    def start(self) -> float:
        return self.rows[0].start

    def next(self, level: "Tensor", step: "Step", features: "Features | None") -> "Tensor":
        there = level.clone()
        for place, row in enumerate(step.rows.tolist()):
            there[place : place + 1] = self.rows[row].next(level[place : place + 1], step, features)
        return there

    def taken(self, num_rows: int) -> list[tuple[float, ...]]:  # noqa: ARG002
        return [row.levels for row in self.rows]


def karras(largest: float, smallest: float, num_steps: int) -> list[float]:
    """`num_steps` + 1 sigmas from the largest down to the smallest, even in sigma^(1/7) (arXiv 2206.00364, eq. 5)."""
    start, end = largest ** (1 / RHO), smallest ** (1 / RHO)
    return [(start + i / num_steps * (end - start)) ** RHO for i in range(num_steps + 1)]


def resampled(sigmas: Sequence[float], num_steps: int) -> list[float]:
    """`num_steps` + 1 sigmas along those given, log sigma linear in between, as Align Your Steps has it."""
    found = []
    for i in range(num_steps + 1):
        place = i * (len(sigmas) - 1) / num_steps
        before = min(int(place), len(sigmas) - 2)
        log_sigma, next_log_sigma = map(math.log, sigmas[before : before + 2])
        found.append(math.exp(log_sigma + (place - before) * (next_log_sigma - log_sigma)))
    return found


def quantiles(density: Any, alpha_bars: np.ndarray, num_steps: int) -> np.ndarray:
    """Rising log SNRs (num_steps,) in the middles of equal shares of a density within the range of a training schedule.

    density: Config of one of `goldennoise.diffusion.noise_levels`. alpha_bars: (T,), float64.
    Raises `ConfigError` where less than 1 % of the density lies in the range.
    """
    levels = truncated(built(density, alpha_bars), *log_snr_range(alpha_bars))
    return levels.quantile((np.arange(num_steps) + 0.5) / num_steps)
