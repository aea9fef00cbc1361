"""Golden noise by re-denoise sampling, the teacher of an NPNet (arXiv 2411.09502, section 3.1)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.errors import require
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.store.options import NOT_NEGATIVE, either, number, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools

DIFFERS = (
    "re_denoise inverts the interval that it denoised; with variant published it inverts another one, as the code of "
    "arXiv 2411.09502 does."
)


@dataclass(frozen=True)
class Config(MethodConfig):
    """The arguments of `goldennoise.diffusion.re_denoise`; the defaults are the paper's for SDXL, exactly inverted."""

    kind: str = "re_denoise"
    denoise_guidance: float = option(5.5, NOT_NEGATIVE)
    """Guidance scale on the way down, at least 0."""
    invert_guidance: float = option(1.0, NOT_NEGATIVE)
    """Guidance scale on the way back up, at least 0."""
    num_steps: int = option(10, number(least=1))
    """Of the schedule of the round trip, at least 1; it need not be the sampler's."""
    num_rounds: int = option(1, number(least=1))
    """Round trips, at least 1."""
    depth: int = 1
    """Steps down per round, from 1 to num_steps."""
    variant: str = option("exact", either("exact", "published"))
    """"exact" inverts the interval that it denoised; "published" inverts the next one, as the published code does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        deepest = self.num_steps - (self.variant == "published")
        allowed = f"from 1 to {deepest} with these num_steps and variant"
        require(1 <= self.depth <= deepest, "depth", self.depth, allowed)

    def golden_evaluations(self, sampling: Sampling) -> Amount:
        a_step = sampling.passes(self.denoise_guidance) + sampling.passes(self.invert_guidance)
        return Amount.exactly(self.num_rounds * self.depth * a_step)


class ReDenoise(Method):
    def __init__(self, config: Config) -> None:
        self.config = config

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        # The command line reads every Config before torch is loaded.
        from goldennoise.diffusion.re_denoise import re_denoise

        config = self.config
        return re_denoise(
            model,
            batch.source,
            batch.embedding,
            denoise_guidance=config.denoise_guidance,
            invert_guidance=config.invert_guidance,
            num_steps=config.num_steps,
            num_rounds=config.num_rounds,
            depth=config.depth,
            variant=config.variant,
        )


def build(config: Config, tools: "MethodTools") -> ReDenoise:  # noqa: ARG001
    return ReDenoise(config)
