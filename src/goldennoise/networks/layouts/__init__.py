"""Networks that draw layouts of a prompt, one of which is added to the noise (docs/science.md). Imports no torch."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

from goldennoise.errors import ModelError, require
from goldennoise.networks.base import Architecture, NetworkInputs
from goldennoise.store.options import NOT_NEGATIVE, Check, number, option

_WEIGHT = Check(NOT_NEGATIVE.allows, "a finite number, at least 0")


@dataclass(frozen=True)
class Config(Architecture):
    """Of `goldennoise.networks.layouts.network.LayoutNPNet`."""

    output: ClassVar[str] = "layouts"
    free: ClassVar[tuple[str, ...]] = ("strength", "resemblance")

    kind: str = option("layouts", Check(lambda kind: kind == "layouts", "layouts"))
    """Of this kind of network."""
    num_layouts: int = option(8, number(least=1))
    """Layouts of every prompt."""
    rank: int = option(256, number(least=1))
    """Of the basis that the layouts are made of."""
    width: int = option(128, number(least=1))
    """Of the transformer on the prompt's tokens."""
    depth: int = option(2, number(least=1))
    """Layers of the transformer."""
    heads: int = option(4, number(least=1))
    """Attention heads of the transformer; a divisor of its width."""
    hidden: int = option(384, number(least=1))
    """Width of the two layers after the transformer."""
    strength: float = option(1.0, _WEIGHT)
    """What a layout is multiplied by before it is added to the noise; it acts in use only."""
    resemblance: float = option(1.0, _WEIGHT)
    """What a standard deviation of resemblance to the noise is worth against a unit of a layout's log weight; it acts
    in use only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width={self.width}")


@dataclass(frozen=True)
class NetworkConfig(NetworkInputs):
    """A network that draws layouts, for one text-to-image model."""

    architecture: Config = field(default_factory=Config)
    """Sizes of the network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rank = self.architecture.rank
        if rank > math.prod(self.latent_shape):
            raise ModelError(f"rank={rank} is more than the latents {self.latent_shape} have numbers: choose less.")
