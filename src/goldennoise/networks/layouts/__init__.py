"""Networks that draw layouts of a prompt, one of which is added to the noise (docs/science.md). Imports no torch."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

from goldennoise.errors import ModelError, require
from goldennoise.networks.base import Architecture, NetworkInputs


@dataclass(frozen=True)
class Config(Architecture):
    """Of `goldennoise.networks.layouts.network.LayoutNPNet`."""

    output: ClassVar[str] = "layouts"

    kind: str = "layouts"
    """Of this kind of network."""
    num_layouts: int = 8
    """Layouts of every prompt."""
    rank: int = 256
    """Of the basis that the layouts are made of."""
    width: int = 128
    """Of the transformer on the prompt's tokens."""
    depth: int = 2
    """Layers of the transformer."""
    heads: int = 4
    """Attention heads of the transformer; a divisor of its width."""
    hidden: int = 384
    """Width of the two layers after the transformer."""
    strength: float = 1.0
    """What a layout is multiplied by before it is added to the noise; it acts in use only."""
    resemblance: float = 1.0
    """What a standard deviation of resemblance to the noise is worth against a unit of a layout's log weight; it acts
    in use only."""

    def __post_init__(self) -> None:
        require(self.kind == "layouts", "kind", self.kind, "layouts")
        for option in ("num_layouts", "rank", "width", "depth", "heads", "hidden"):
            require(getattr(self, option) >= 1, option, getattr(self, option), "at least 1")
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width={self.width}")
        for option in ("strength", "resemblance"):
            value = getattr(self, option)
            require(0 <= value < math.inf, option, value, "a finite number, at least 0")


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
