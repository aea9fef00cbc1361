"""Sample several noises and keep the one whose image a scorer likes best: the plain use of more compute."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.diffusion.evaluations import Amount, Sampling
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
    """How many noises to try."""

    kind: str = "best_of_n"
    num_candidates: int = option(4, number(least=1))
    """Noises tried per sample, the source noise first; at least 1."""

    def golden_evaluations(self, sampling: Sampling) -> Amount:
        return sampling.image() * self.num_candidates


class BestOfN(Method):
    """Candidate k is the same whatever `num_candidates` is, so more candidates never score worse."""

    def __init__(self, num_candidates: int, selector: "Selector") -> None:
        self.num_candidates = num_candidates
        self.selector = selector

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """The best candidate of every sample, the earliest of equals. Raises `ScorerError` for a non-finite score."""
        # The command line reads every Config before torch is loaded.
        from goldennoise.methods.search.selector import better_of

        best = batch.source
        best_scores = self.selector.of_noise(model, best, batch)
        for candidate in range(1, self.num_candidates):
            noise = model.initial_noise(batch.derived_seeds(f"best_of_n/{candidate}"))
            scores = self.selector.of_noise(model, noise, batch)
            best, best_scores = better_of(best, best_scores, noise, scores)
        return best


def build(config: Config, tools: "MethodTools") -> BestOfN:
    """Raises `ConfigError` when the run does not have the scorer, or it only reports."""
    return BestOfN(config.num_candidates, tools.selector("scorer", config.scorer))
