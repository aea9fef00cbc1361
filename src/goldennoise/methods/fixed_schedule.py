"""The source noise as it is, on other timesteps: a control for what a schedule does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.diffusion import noise_levels
from goldennoise.diffusion.base import FALLING
from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.schedules.fixed import SPACINGS, FixedSchedule
from goldennoise.errors import ConfigError, require, shortened
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.store.identity import deciding
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
    levels: Any = None
    """A density of `goldennoise.diffusion.noise_levels`, at whose quantiles the steps lie: its name, or a mapping of
    `kind` and options. None for a spacing or `timesteps`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        listed = self.timesteps
        if listed is not None:
            fits = self.num_steps in (None, len(listed))
            require(fits, "num_steps", self.num_steps, f"null or {len(listed)}, the number of timesteps")
            require(self.spacing == "uniform", "spacing", self.spacing, "uniform where timesteps are listed")
        if self.levels is not None:
            alone = listed is None and self.spacing == "uniform"
            require(alone, "levels", self.levels, "null beside timesteps and beside a spacing")
            self.density()

    def image_evaluations(self, sampling: Sampling) -> Amount:
        return sampling.steps(self.num_steps if self.timesteps is None else len(self.timesteps))

    def density(self) -> Any:
        """The Config that `levels` means. Raises `ConfigError` for one that does not exist or is out of range."""
        named = {"kind": self.levels} if isinstance(self.levels, str) else self.levels
        fits = isinstance(named, dict) and "kind" in named
        require(fits, "levels", self.levels, "null, the name of a density, or a mapping with its kind and options")
        try:
            return noise_levels.configured(named["kind"], {name: named[name] for name in named if name != "kind"})
        except ConfigError as error:
            raise ConfigError(f"levels={shortened(self.levels)}: {error}") from None


class FixedScheduleMethod(Method):
    def __init__(self, config: Config) -> None:
        self.config = config

    def prepare(self, model: "DiffusionModel") -> None:
        """Raises `ModelError` for a sampler of other steps."""
        model.require_walked()

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":  # noqa: ARG002
        return batch.source

    def plan(self, model: "DiffusionModel", batch: "SampleBatch") -> SamplingPlan:
        """Raises `ConfigError` for a spacing, timesteps or noise levels that the model does not have."""
        config = self.config
        if config.timesteps is not None:
            levels = model.levels_of(config.timesteps)
        elif config.levels is not None:
            levels = model.levels_by(config.density(), config.num_steps or model.num_steps)
        else:
            levels = model.levels(config.num_steps or model.num_steps, batch.source, config.spacing)
        return SamplingPlan(batch.source, schedule=FixedSchedule(tuple(levels)))


def identity(config: Config) -> dict[str, Any]:
    """The options; `levels` decide nothing where there are none."""
    return {name: value for name, value in deciding(config).items() if name != "levels" or value is not None}


def build(config: Config, tools: "MethodTools") -> FixedScheduleMethod:  # noqa: ARG001
    return FixedScheduleMethod(config)
