"""Local search around the source noise by a scorer (Ma et al., arXiv 2501.09732, section 3.2, zero-order search)."""

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

DIFFERS = (
    "zero_order follows arXiv 2501.09732, but the noise whose neighbours are tried competes with them, so that the "
    "score never falls."
)


@dataclass(frozen=True)
class Config(SearchConfig):
    """The neighbours to try."""

    kind: str = "zero_order"
    num_neighbours: int = option(4, number(least=1))
    """Tried per round around the best noise so far, at least 1."""
    num_rounds: int = option(2, number(least=1))
    """At least 1."""
    cosine: float = option(0.95, number(above=-1, below=1))
    """Between that noise and a neighbour, above -1 and below 1."""

    def golden_evaluations(self, sampling: Sampling) -> Amount:
        return sampling.image() * (1 + self.num_rounds * self.num_neighbours)


class ZeroOrder(Method):
    """Moves to the best neighbour only if it scores higher, so the result never scores worse than the source."""

    def __init__(self, config: Config, selector: "Selector") -> None:
        self.config = config
        self.selector = selector

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Raises `ScorerError` for a non-finite score."""
        from goldennoise.methods.search.selector import better_of

        def scores_of(noise: "Tensor") -> "Tensor":
            return self.selector.of_noise(model, noise, batch)

        best, best_scores = batch.source, scores_of(batch.source)
        for round_index in range(self.config.num_rounds):
            pivot = best
            for neighbour in range(self.config.num_neighbours):
                fresh = model.initial_noise(batch.derived_seeds(f"zero_order/{round_index}/{neighbour}"))
                near = on_sphere(pivot, fresh, self.config.cosine)
                best, best_scores = better_of(best, best_scores, near, scores_of(near))
        return best


def on_sphere(pivot: "Tensor", direction: "Tensor", cosine: float) -> "Tensor":
    """Noise (B, C, h, w) of the norm of `pivot` at the angle of `cosine` from it, towards `direction`."""
    wide, along = pivot.float(), direction.float()
    norm = wide.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    unit = wide / norm
    across = along - (along * unit).flatten(1).sum(1).view(-1, 1, 1, 1) * unit
    across = across / across.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (norm * (cosine * unit + (1 - cosine**2) ** 0.5 * across)).to(pivot.dtype)


def build(config: Config, tools: "MethodTools") -> ZeroOrder:
    """Raises `ConfigError` when the run does not have the scorer, or it only reports."""
    return ZeroOrder(config, tools.selector("scorer", config.scorer))
