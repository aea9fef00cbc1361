"""Schedules that are the same for every sample. Imports no torch: the command line reads Configs first."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FixedSchedule:
    """A `Schedule` of the same levels for every row."""

    levels: tuple[float, ...]
    """From the start of sampling down to 0, its end."""

    @property
    def start(self) -> float:
        return self.levels[0]

    def next(self, level: "Tensor", features: "Tensor | None") -> "Tensor":  # noqa: ARG002
        """The largest of the levels below each of `level` (B,)."""
        levels = level.new_tensor(self.levels)
        return (levels * (levels < level[:, None])).amax(dim=1)
