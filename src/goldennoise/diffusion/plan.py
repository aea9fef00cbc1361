"""How one batch is sampled: the noise it starts from, and where it departs from the model's recommended sampler."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Schedule(Protocol):
    """A policy that says which noise level comes next.

    A level is in [0, 1], 1 the first of training's noise levels and 0 the end of sampling.
    """

    @property
    def start(self) -> float:
        """The level that sampling starts at, above 0."""
        ...

    def next(self, level: "Tensor", features: "Tensor | None") -> "Tensor":
        """The next level of each row, (B,), below `level` (B,), float64 on the CPU. A row at 0 stays there.

        features: of the denoiser at `level`, (B, ...), None for a schedule that needs none.
        """
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
