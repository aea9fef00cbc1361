"""Sample several noises for a few steps and finish only the one whose predicted image a scorer likes best."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.errors import require
from goldennoise.methods.base import Method, SearchConfig
from goldennoise.store.options import number, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.search.selector import Selector
    from goldennoise.methods.tools import MethodTools


@dataclass(frozen=True)
class Config(SearchConfig):
    """How many noises to try, and how far."""

    kind: str = "early_stop"
    num_candidates: int = option(8, number(least=1))
    """Noises tried per sample, those of best_of_n; at least 1."""
    num_steps: int = option(5, number(least=1))
    """Steps of the model's sampler before its predicted image is scored, from 1 to the model's number of steps."""

    def refuse_unfit(self, model: Any) -> None:
        _require_steps(self.num_steps, model.num_steps)

    def golden_evaluations(self, sampling: Sampling) -> Amount:
        return sampling.steps(self.num_steps) * self.num_candidates


def _require_steps(num_steps: int, most: int) -> None:
    require(num_steps <= most, "num_steps", num_steps, f"at most {most}, the steps of the model's sampler")


class EarlyStop(Method):
    """The chosen noise is sampled again from its start, so an image costs all previews and one whole sampling."""

    def __init__(self, config: Config, selector: "Selector") -> None:
        self.num_candidates = config.num_candidates
        self.num_steps = config.num_steps
        self.selector = selector

    def prepare(self, model: "DiffusionModel") -> None:
        """Raises `ConfigError` for more steps than the model's sampler takes."""
        _require_steps(self.num_steps, model.num_steps)

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """The candidate of the best preview, the earliest of equals. Raises `ScorerError` for a non-finite score."""
        # The command line reads every Config before torch is loaded.
        from goldennoise.methods.search.selector import better_of

        self.prepare(model)
        best = batch.source
        best_scores = self.selector.of_preview(model, best, batch, self.num_steps)
        for candidate in range(1, self.num_candidates):
            noise = model.initial_noise(batch.derived_seeds(f"best_of_n/{candidate}"))
            scores = self.selector.of_preview(model, noise, batch, self.num_steps)
            best, best_scores = better_of(best, best_scores, noise, scores)
        return best


def build(config: Config, tools: "MethodTools") -> EarlyStop:
    """Raises `ConfigError` when the run does not have the scorer, or it only reports."""
    return EarlyStop(config, tools.selector("scorer", config.scorer))
