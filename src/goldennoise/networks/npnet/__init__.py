"""NPNet, which predicts golden noise from source noise and prompt (arXiv 2411.09502). Imports no torch."""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

from goldennoise.errors import ModelError, require
from goldennoise.networks.base import Architecture, NetworkInputs
from goldennoise.store.options import Check, number, one_of, option

SWIN_TINY = {
    "image_size": 224,
    "patch_size": 4,
    "window": 7,
    "embed_dim": 96,
    "depths": (2, 2, 6, 2),
    "heads": (3, 6, 12, 24),
}
PUBLISHED_TOKENS = 77
"""Length of the text encoder's output for every published file; the files themselves do not tell."""
_FREE = ("drop_path_rate", "pretrained_backbone", "svd_attention")
"""Options that decide nothing a published layout would lose."""


@dataclass(frozen=True)
class Config(Architecture):
    """The defaults are the published network."""

    free: ClassVar[tuple[str, ...]] = ("drop_path_rate", "pretrained_backbone")

    kind: str = option("npnet", Check(lambda kind: kind == "npnet", "npnet"))
    """Of this kind of network."""
    image_size: int = option(224, number(least=1))
    """Input side of the Swin backbone of the residual branch, in pixels."""
    patch_size: int = option(4, number(least=1))
    """Side of the backbone's patches, in pixels."""
    window: int = option(7, number(least=1))
    """Side of the backbone's attention windows, in patches."""
    embed_dim: int = option(96, number(least=1))
    """Width of the backbone's first stage; it doubles from stage to stage."""
    depths: tuple[int, ...] = option(
        (2, 2, 6, 2), Check(lambda depths: min(depths, default=0) >= 1, "one number >= 1 per stage")
    )
    """Blocks of each stage of the backbone."""
    heads: tuple[int, ...] = (3, 6, 12, 24)
    """Attention heads of each stage; a divisor of its width."""
    drop_path_rate: float = option(0.1, number(least=0, below=1))
    """Stochastic depth of the backbone, in [0, 1); it acts in training only."""
    pretrained_backbone: bool = False
    """Start training from ImageNet weights: of Swin-Tiny sizes only; timm downloads them."""
    vector_hidden: int = option(64, number(least=1))
    """Hidden width of the layers on singular vectors."""
    value_hidden: int = option(1024, number(least=1))
    """Hidden width of the layers on singular values."""
    attention_heads: int = option(8, number(least=1))
    """Heads of the attention over the singular vectors; a divisor of their number."""
    svd_attention: bool = True
    """Whether the branch has attention over the singular vectors at all."""
    canonical_signs: bool = True
    """Fix the signs of the singular vectors, which makes the network a function of the noise."""
    branches: str = option("both", one_of("both", "residual", "singular_values"), identity="unless default")
    """The branches it has, for ablations: without singular_values the noise itself stands in their place, without
    residual nothing does. The text embedding stays."""

    def __post_init__(self) -> None:
        # Configuration libraries and JSON hand lists over; equality and hashing need tuples.
        for name in ("depths", "heads"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        super().__post_init__()
        self._check_stages()
        published = all(getattr(self, name) == size for name, size in SWIN_TINY.items())
        sizes = ", ".join(f"{name}={size}" for name, size in SWIN_TINY.items())
        allowed = f"false unless the backbone is Swin-Tiny ({sizes})"
        require(published or not self.pretrained_backbone, "pretrained_backbone", self.pretrained_backbone, allowed)

    def _check_stages(self) -> None:
        num_stages = len(self.depths)
        fits = len(self.heads) == num_stages and min(self.heads) >= 1
        require(fits, "heads", self.heads, f"one number >= 1 for each of the {num_stages} stages of depths")
        for stage, heads in enumerate(self.heads):
            width = self.embed_dim * 2**stage
            allowed = f"divisors of the stage widths: {heads} is none of {width}"
            require(width % heads == 0, "heads", self.heads, allowed)
        cell = self.patch_size * 2 ** (num_stages - 1)
        allowed = f"a multiple of {cell}, patch_size times 2 for every stage after the first"
        require(self.image_size % cell == 0, "image_size", self.image_size, allowed)

    @property
    def feature_side(self) -> int:
        """Height and width of the backbone's features: 7 in the published network."""
        return self.image_size // self.patch_size // 2 ** (len(self.depths) - 1)


@dataclass(frozen=True)
class NetworkConfig(NetworkInputs):
    """The published architecture for one text-to-image model."""

    architecture: Config = field(default_factory=Config)
    """Sizes and parts of the network."""
    vector_mean: str = "before"
    """Whether the singular-value branch takes the mean over the singular vectors "before" its last layers or "after"
    them, as the published SDXL trainer alone does; no network is trained so here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vector_mean not in ("before", "after"):
            raise ModelError(f"vector_mean={self.vector_mean}: vector_mean must be before or after")
        heads = self.architecture.attention_heads
        if self.architecture.svd_attention and self.num_values % heads:
            raise ModelError(
                f"attention_heads={heads} does not divide the {self.num_values} singular values of latents "
                f"{self.latent_shape}: choose a divisor, or svd_attention=false."
            )

    @property
    def channel_grid(self) -> tuple[int, int]:
        """(a, c) with a * c = C, as square as C allows, a <= c: 2 x 2 for 4 channels, 4 x 4 for 16."""
        channels = self.latent_shape[0]
        rows = next(rows for rows in range(math.isqrt(channels), 0, -1) if channels % rows == 0)
        return rows, channels // rows

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(rows, columns) of the noise laid out as a matrix: 256 x 256 for SDXL's 4 x 128 x 128."""
        _, height, width = self.latent_shape
        return self.channel_grid[0] * height, self.channel_grid[1] * width

    @property
    def num_values(self) -> int:
        """Number of singular values."""
        return min(self.matrix_shape)

    @property
    def num_frozen(self) -> int:
        rows, columns = self.matrix_shape
        return self.num_values * (rows + 1 + columns)

    def blank(self) -> "NetworkConfig":
        return replace(self, architecture=replace(self.architecture, pretrained_backbone=False))

    def refuse_unpublishable(self) -> None:
        """Raise `ModelError` naming every setting that differs from the published network's."""
        published = Config(canonical_signs=False)
        others = [
            f"{name}={value}, not {getattr(published, name)}"
            for name, value in vars(self.architecture).items()
            if name not in _FREE and value != getattr(published, name)
        ]
        if self.latent_shape[0] != 4:
            others.append(f"{self.latent_shape[0]} latent channels, not 4")
        if self.vector_mean != "before":
            others.append(f"vector_mean={self.vector_mean}, not before")
        if self.num_tokens != PUBLISHED_TOKENS:
            others.append(f"{self.num_tokens} tokens, not {PUBLISHED_TOKENS}")
        if others:
            raise ModelError(
                "A published layout holds tensors without settings, so whoever reads it builds the published network "
                f"and would get other golden noise: this NPNet has {'; '.join(others)}; keep it in the layout "
                "goldennoise, or train one with npnet=published npnet.canonical_signs=false."
            )
