"""How one batch is sampled: the noise it starts from, and where it departs from the model's recommended sampler."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Of the denoiser at one step, guided as its prediction is, float32.

    maps: (B, 2D, h, w), its first and its last features side by side, tokens in raster order. time: (B, D), its time
    embedding.
    """

    maps: "Tensor"
    time: "Tensor"

    def __getitem__(self, rows: "Tensor") -> "Features":
        """Those of some rows (R,)."""
        return Features(self.maps[rows], self.time[rows])

    def to(self, device: Any) -> "Features":
        """The same on a device."""
        return Features(self.maps.to(device), self.time.to(device))


@dataclass(frozen=True)
class Step:
    """A step of a walk, the first is number 0. rows: (R,), those of the batch that have not reached the end."""

    number: int
    rows: "Tensor"


class Schedule(Protocol):
    """A policy that says which noise level comes next.

    A level is in [0, 1], 1 the first of training's noise levels and 0 the end of sampling.
    """

    @property
    def start(self) -> float:
        """The level that sampling starts at, above 0."""
        ...

    @property
    def reads_features(self) -> bool:
        """Whether `next` needs the denoiser's features."""
        ...

    def next(self, level: "Tensor", step: Step, features: Features | None) -> "Tensor":
        """The next level of each of the step's rows, (R,), below `level` (R,), float64 on the CPU.

        features: of the denoiser at `level`, (R, ...), None for a schedule that reads none.
        """
        ...

    def taken(self, num_rows: int) -> list[tuple[float, ...]]:
        """The levels that each row of the last walk went through, from the start to 0."""
        ...


@dataclass(frozen=True)
class SamplingPlan:
    """What a method decides of sampling; None leaves the model's own."""

    noise: "Tensor"
    """Initial noise of unit scale, (B, C, h, w)."""

    guidance: float | None = None
    """Guidance scale."""

    num_steps: int | None = None
    """Steps of the model's sampler, at least 1."""

    schedule: Schedule | None = None
    """Noise levels to step through by DDIM, or straight along a flow, in place of the model's sampler."""

    @property
    def is_noise_alone(self) -> bool:
        """Whether everything but the noise is the model's own."""
        return (self.guidance, self.num_steps, self.schedule) == (None, None, None)
