"""The source noise as it is, on other timesteps: a control for what a schedule does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from goldennoise.diffusion.base import FALLING
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.schedules.fixed import SPACINGS, FixedSchedule
from goldennoise.errors import require
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.store.options import number, one_of, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools


@dataclass(frozen=True)
class Config(MethodConfig):
    """For models whose sampler is ddim or flow_euler, the steps that the schedule is walked in."""

    control: ClassVar[str | None] = "schedule"

    kind: str = "fixed_schedule"
    num_steps: int | None = option(None, number(least=1))
    """Evaluations of the model per pass, at least 1; None for the model's own number, or that of `timesteps`."""
    timesteps: list[float] | None = option(None, FALLING)
    """What the network is told at each step, falling; None for a spacing."""
    spacing: str = option("uniform", one_of(*SPACINGS))
    """One of `schedules.fixed.SPACINGS`; where there are `timesteps` it says nothing and has to be uniform."""

    def __post_init__(self) -> None:
        super().__post_init__()
        listed = self.timesteps
        if listed is not None:
            fits = self.num_steps in (None, len(listed))
            require(fits, "num_steps", self.num_steps, f"null or {len(listed)}, the number of timesteps")
            require(self.spacing == "uniform", "spacing", self.spacing, "uniform where timesteps are listed")


class FixedScheduleMethod(Method):
    def __init__(self, config: Config) -> None:
        self.config = config

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":  # noqa: ARG002
        return batch.source

    def plan(self, model: "DiffusionModel", batch: "SampleBatch") -> SamplingPlan:
        """Raises `ConfigError` for a spacing or timesteps that the model does not have."""
        config = self.config
        if config.timesteps is not None:
            levels = model.levels_of(config.timesteps)
        else:
            levels = model.levels(config.num_steps or model.num_steps, batch.source, config.spacing)
        return SamplingPlan(batch.source, schedule=FixedSchedule(tuple(levels)))


def build(config: Config, tools: "MethodTools") -> FixedScheduleMethod:  # noqa: ARG001
    return FixedScheduleMethod(config)
