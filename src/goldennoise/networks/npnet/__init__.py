"""NPNet, which predicts golden noise from source noise and prompt (arXiv 2411.09502). Imports no torch."""

import math
from dataclasses import dataclass, field, fields, replace

from goldennoise.errors import ModelError, require
from goldennoise.networks.base import Architecture, NetworkInputs

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

    kind: str = "npnet"
    """Of this kind of network."""
    image_size: int = 224
    """Input side of the Swin backbone of the residual branch, in pixels."""
    patch_size: int = 4
    """Side of the backbone's patches, in pixels."""
    window: int = 7
    """Side of the backbone's attention windows, in patches."""
    embed_dim: int = 96
    """Width of the backbone's first stage; it doubles from stage to stage."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    """Blocks of each stage of the backbone."""
    heads: tuple[int, ...] = (3, 6, 12, 24)
    """Attention heads of each stage; a divisor of its width."""
    drop_path_rate: float = 0.1
    """Stochastic depth of the backbone, in [0, 1); it acts in training only."""
    pretrained_backbone: bool = False
    """Start training from ImageNet weights: of Swin-Tiny sizes only; timm downloads them."""
    vector_hidden: int = 64
    """Hidden width of the layers on singular vectors."""
    value_hidden: int = 1024
    """Hidden width of the layers on singular values."""
    attention_heads: int = 8
    """Heads of the attention over the singular vectors; a divisor of their number."""
    svd_attention: bool = True
    """Whether the branch has attention over the singular vectors at all."""
    canonical_signs: bool = True
    """Fix the signs of the singular vectors, which makes the network a function of the noise."""

    def __post_init__(self) -> None:
        # Configuration libraries and JSON hand lists over; equality and hashing need tuples.
        for option in ("depths", "heads"):
            object.__setattr__(self, option, tuple(getattr(self, option)))
        require(self.kind == "npnet", "kind", self.kind, "npnet")
        for option in (
            "image_size", "patch_size", "window", "embed_dim", "vector_hidden", "value_hidden", "attention_heads",
        ):  # fmt: skip
            require(getattr(self, option) >= 1, option, getattr(self, option), "at least 1")
        require(0 <= self.drop_path_rate < 1, "drop_path_rate", self.drop_path_rate, "at least 0 and below 1")
        self._check_stages()
        published = {option: getattr(self, option) for option in SWIN_TINY} == SWIN_TINY
        require(
            published or not self.pretrained_backbone,
            "pretrained_backbone",
            self.pretrained_backbone,
            f"false unless the backbone is Swin-Tiny ({', '.join(f'{k}={v}' for k, v in SWIN_TINY.items())})",
        )

    def _check_stages(self) -> None:
        require(len(self.depths) >= 1 and min(self.depths) >= 1, "depths", self.depths, "one number >= 1 per stage")
        require(
            len(self.heads) == len(self.depths) and min(self.heads) >= 1,
            "heads",
            self.heads,
            f"one number >= 1 for each of the {len(self.depths)} stages of depths",
        )
        for stage, heads in enumerate(self.heads):
            width = self.embed_dim * 2**stage
            require(
                width % heads == 0, "heads", self.heads, f"divisors of the stage widths: {heads} is none of {width}"
            )
        cell = self.patch_size * 2 ** (len(self.depths) - 1)
        require(
            self.image_size % cell == 0,
            "image_size",
            self.image_size,
            f"a multiple of {cell}, patch_size times 2 for every stage after the first",
        )

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

    def blank(self) -> "NetworkConfig":
        return replace(self, architecture=replace(self.architecture, pretrained_backbone=False))

    def refuse_unpublishable(self) -> None:
        """Raise `ModelError` naming every setting that differs from the published network's."""
        published = Config(canonical_signs=False)
        others = [
            f"{option.name}={getattr(self.architecture, option.name)}, not {getattr(published, option.name)}"
            for option in fields(published)
            if option.name not in _FREE and getattr(self.architecture, option.name) != getattr(published, option.name)
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
