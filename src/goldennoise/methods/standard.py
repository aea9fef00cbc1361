"""The source noise as it is: what every other method is compared with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.store.options import POSITIVE, number, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools


@dataclass(frozen=True)
class Config(MethodConfig):
    """The source noise, a control with another guidance or another number of steps."""

    control: ClassVar[str | None] = "guidance"

    kind: str = "standard"
    guidance: float | None = option(None, POSITIVE)
    """Guidance scale, above 0; null for the model's own."""
    num_steps: int | None = option(None, number(least=1), identity="unless default")
    """Steps of the model's sampler, at least 1; null for the model's own."""

    def image_evaluations(self, sampling: Sampling) -> Amount:
        return sampling.image(self.num_steps, self.guidance)


class Standard(Method):
    def __init__(self, guidance: float | None = None, num_steps: int | None = None) -> None:
        self.guidance, self.num_steps = guidance, num_steps

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":  # noqa: ARG002
        return batch.source

    def plan(self, model: "DiffusionModel", batch: "SampleBatch") -> SamplingPlan:  # noqa: ARG002
        return SamplingPlan(batch.source, self.guidance, self.num_steps)


def build(config: Config, tools: "MethodTools") -> Standard:  # noqa: ARG001
    return Standard(config.guidance, config.num_steps)
