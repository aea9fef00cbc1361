"""What every method is and can be told. Imports no torch: the command line reads every Config before it loads."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.diffusion.evaluations import ZERO, Amount, Sampling
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ConfigError
from goldennoise.store.options import Options, filled, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch


@dataclass(frozen=True)
class MethodConfig(Options):
    """What every method takes."""

    control: ClassVar[str | None] = None
    """Of a method that knows neither prompt nor image, what it is a control of: "guidance", "schedule" or "noise"; else
    None."""

    keep_norm: bool = False
    """Scale every golden noise to the norm of its source noise, so that only its direction changes."""

    artifact_kind: ClassVar[str] = "npnet"
    """Of artifact that the method's networks are: npnet or schedule."""

    def networks(self) -> tuple[str, ...]:
        """References of the trained networks that the method uses."""
        return ()

    def scorers(self) -> tuple[str, ...]:
        """Names of the run's scorers that choose while the method runs."""
        return ()

    def methods(self) -> tuple[str, ...]:
        """Names of the run's other methods that decide the noise too."""
        return ()

    def refuse_unfit(self, model: Any) -> None:
        """Raise `ConfigError` for options that do not fit `model`, the config of one: before anything is loaded."""

    def golden_evaluations(self, sampling: Sampling) -> Amount:  # noqa: ARG002
        """Of the model for the golden noise of a sample, without those of `methods()`."""
        return ZERO

    def image_evaluations(self, sampling: Sampling) -> Amount:
        """Of the model for the image, sampled as the method plans it."""
        return sampling.image()


@dataclass(frozen=True)
class SearchConfig(MethodConfig):
    """What every method that searches takes."""

    scorer: str = option("shapes_clip", filled("the name of one of the scorers of the run"))
    """The one of the run's scorers that chooses."""

    def scorers(self) -> tuple[str, ...]:
        return (self.scorer,)


def refuse_second_tone(model: Any) -> None:
    """Raise `ConfigError` where `model`, the config of one, gives source noise a tone already."""
    if model.tone is not None:
        raise ConfigError("it adds the tone that model.tone gives source noise already: set model.tone=null")


class Method(ABC):
    """One way to plan sampling from source noise; for eval and for collect. Most plan the noise alone."""

    def prepare(self, model: "DiffusionModel") -> None:  # noqa: B027
        """Compute what all batches share, so that the cost of no image counts it; `golden` does so where it is left.

        Raises what `golden` raises for every batch of this model.
        """

    @abstractmethod
    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Golden noise for `batch.source`, same shape; row i depends on sample i alone. Called without gradients."""

    def plan(self, model: "DiffusionModel", batch: "SampleBatch") -> SamplingPlan:
        """How the batch is sampled: by default from its golden noise with the model's own settings."""
        return SamplingPlan(self.golden(model, batch))


class OnSphere(Method):
    """A method whose result is brought back to the sphere of its source noise."""

    def __init__(self, method: Method) -> None:
        self.method = method

    def prepare(self, model: "DiffusionModel") -> None:
        self.method.prepare(model)

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        return self.plan(model, batch).noise

    def plan(self, model: "DiffusionModel", batch: "SampleBatch") -> SamplingPlan:
        plan = self.method.plan(model, batch)
        golden = plan.noise
        norms = batch.source.float().flatten(1).norm(dim=1) / golden.float().flatten(1).norm(dim=1)
        return replace(plan, noise=(golden.float() * norms.view(-1, 1, 1, 1)).to(golden.dtype))


class After(Method):
    """A method whose source is what another one makes of the source noise: the next round of iterated distillation."""

    def __init__(self, first: Method, second: Method) -> None:
        self.first = first
        self.second = second

    def prepare(self, model: "DiffusionModel") -> None:
        self.first.prepare(model)
        self.second.prepare(model)

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        return self.plan(model, batch).noise

    def plan(self, model: "DiffusionModel", batch: "SampleBatch") -> SamplingPlan:
        """That of the second method, from the noise of the first."""
        source = self.first.plan(model, batch).noise.to(batch.source)
        return self.second.plan(model, replace(batch, source=source))
