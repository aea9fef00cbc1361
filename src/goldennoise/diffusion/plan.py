"""How one batch is sampled: the noise it starts from, and where it departs from the model's recommended sampler."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SamplingPlan:
    """What a method decides of sampling; None leaves the model's own."""

    noise: "Tensor"
    """Initial noise of unit scale, (B, C, h, w)."""

    guidance: float | None = None
    """Guidance scale."""

    num_steps: int | None = None
    """Steps of the model's sampler, at least 1."""

    @property
    def is_noise_alone(self) -> bool:
        """Whether everything but the noise is the model's own."""
        return self.guidance is None and self.num_steps is None
