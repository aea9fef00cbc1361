"""Golden noise by resampling: a guided step down, the forward process back up with fresh noise, again and again.

The column "Repaint" of arXiv 2411.09502, after Lugmayr et al., arXiv 2201.09865, algorithm 1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.errors import require
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.store.options import NOT_NEGATIVE, number, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools

DIFFERS = (
    "re_paint does on the initial noise alone what RePaint (arXiv 2201.09865) does at every step, as the code of arXiv "
    "2411.09502 does."
)


@dataclass(frozen=True)
class Config(MethodConfig):
    """The steps down and back up."""

    kind: str = "re_paint"
    guidance: float = option(5.5, NOT_NEGATIVE)
    """Guidance scale of the steps down, at least 0."""
    num_steps: int = option(10, number(least=1))
    """Of their schedule, at least 1."""
    num_rounds: int = option(1, number(least=1))
    """Times down and up, at least 1."""
    depth: int = 1
    """Steps down per round, at least 1 and below num_steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 <= self.depth < self.num_steps, "depth", self.depth, f"from 1 to {self.num_steps - 1}")

    def golden_evaluations(self, sampling: Sampling) -> Amount:
        return Amount.exactly(self.num_rounds * self.depth * sampling.passes(self.guidance))


class RePaint(Method):
    def __init__(self, config: Config) -> None:
        self.config = config

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        config, latents = self.config, batch.source
        num_steps = config.num_steps
        for round_index in range(config.num_rounds):
            for position in range(config.depth):
                prediction = model.predict(latents, position, batch.embedding, config.guidance, num_steps)
                latents = model.move(latents, prediction, position, position + 1, num_steps)
            fresh = batch.fresh_noise(f"re_paint/{round_index}")
            latents = model.diffuse(latents, fresh, config.depth, 0, num_steps)
        return latents


def build(config: Config, tools: "MethodTools") -> RePaint:  # noqa: ARG001
    return RePaint(config)
