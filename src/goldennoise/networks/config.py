"""What an NPNet is built from. Imports no torch: the command line reads it before anything heavy loads."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from goldennoise.errors import ModelError, require

if TYPE_CHECKING:
    from torch import Tensor

SWIN_TINY = {
    "image_size": 224,
    "patch_size": 4,
    "window": 7,
    "embed_dim": 96,
    "depths": (2, 2, 6, 2),
    "heads": (3, 6, 12, 24),
}


@dataclass(frozen=True)
class ArchitectureConfig:
    """What a user chooses; the defaults are the published network.

    image_size, patch_size, window, embed_dim, depths, heads, drop_path_rate: the Swin backbone of the residual branch;
        its input side in pixels, the widths double from stage to stage, stochastic depth acts in training only.
    vector_hidden, value_hidden: hidden widths of the layers on singular vectors and on singular values.
    attention_heads, svd_attention: attention over the singular vectors, and whether the branch has it at all.
    canonical_signs: fix the signs of the singular vectors, which makes the network a function of the noise.
    pretrained_backbone: start training from ImageNet weights (Swin-Tiny sizes only; timm downloads them).
    """

    kind: str = "npnet"
    image_size: int = 224
    patch_size: int = 4
    window: int = 7
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    drop_path_rate: float = 0.1
    pretrained_backbone: bool = False
    vector_hidden: int = 64
    value_hidden: int = 1024
    attention_heads: int = 8
    svd_attention: bool = True
    canonical_signs: bool = True

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
class LayoutArchitecture:
    """Of `goldennoise.networks.layouts.network.LayoutNPNet`.

    num_layouts: of every prompt; rank: of the basis they are made of. width, depth, heads: the transformer on the
        prompt's tokens; hidden: width of the two layers after it.
    strength: what a layout is multiplied by before it is added to the noise. resemblance: what a standard deviation of
        resemblance to the noise is worth against a unit of a layout's log weight. Both act in use only.
    """

    kind: str = "layouts"
    num_layouts: int = 8
    rank: int = 256
    width: int = 128
    depth: int = 2
    heads: int = 4
    hidden: int = 384
    strength: float = 1.0
    resemblance: float = 1.0

    def __post_init__(self) -> None:
        require(self.kind == "layouts", "kind", self.kind, "layouts")
        for option in ("num_layouts", "rank", "width", "depth", "heads", "hidden"):
            require(getattr(self, option) >= 1, option, getattr(self, option), "at least 1")
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width={self.width}")
        for option in ("strength", "resemblance"):
            value = getattr(self, option)
            require(0 <= value < math.inf, option, value, "a finite number, at least 0")


@dataclass(frozen=True)
class NetworkInputs:
    """The latents and the text encoder of the text-to-image model a network is for.

    latent_shape: (C, h, w); num_tokens, text_dim: of its prompt embeddings. Raises `ModelError` on a misfit.
    """

    latent_shape: tuple[int, int, int]
    num_tokens: int
    text_dim: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "latent_shape", tuple(self.latent_shape))
        if len(self.latent_shape) != 3 or min(*self.latent_shape, self.num_tokens, self.text_dim) < 1:
            raise ModelError(
                f"An NPNet needs latents (C, h, w) and text (tokens, dim) of sizes >= 1, not {self.latent_shape} and "
                f"({self.num_tokens}, {self.text_dim})."
            )

    def check(self, noise: "Tensor", prompt_embeds: "Tensor") -> None:
        """Raise `ModelError` unless noise (B, C, h, w) and embeddings (B, tokens, dim) are what the network takes."""
        text_shape = (self.num_tokens, self.text_dim)
        if tuple(noise.shape[1:]) != self.latent_shape or tuple(prompt_embeds.shape[1:]) != text_shape:
            raise ModelError(
                f"This NPNet takes noise (B, {', '.join(map(str, self.latent_shape))}) and prompt embeddings "
                f"(B, {self.num_tokens}, {self.text_dim}), not {tuple(noise.shape)} and "
                f"{tuple(prompt_embeds.shape)}: use the network trained for this model."
            )
        if len(noise) != len(prompt_embeds):
            raise ModelError(
                f"{len(noise)} noises came with {len(prompt_embeds)} prompt embeddings: every noise needs its own."
            )


@dataclass(frozen=True)
class NPNetConfig(NetworkInputs):
    """The published architecture for one text-to-image model.

    vector_mean: where the singular-value branch takes the mean over the singular vectors, "before" its last layers or
        "after" them. Only the published SDXL trainer takes it after; no network is trained so here.
    """

    architecture: ArchitectureConfig = field(default_factory=ArchitectureConfig)
    vector_mean: str = "before"

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


@dataclass(frozen=True)
class LayoutNPNetConfig(NetworkInputs):
    """A network that draws layouts, for one text-to-image model."""

    architecture: LayoutArchitecture = field(default_factory=LayoutArchitecture)

    def __post_init__(self) -> None:
        super().__post_init__()
        rank = self.architecture.rank
        if rank > math.prod(self.latent_shape):
            raise ModelError(f"rank={rank} is more than the latents {self.latent_shape} have numbers: choose less.")


ARCHITECTURES: dict[str, type[ArchitectureConfig] | type[LayoutArchitecture]] = {
    "npnet": ArchitectureConfig,
    "layouts": LayoutArchitecture,
}


def network_config(
    architecture: ArchitectureConfig | LayoutArchitecture,
    latent_shape: tuple[int, int, int],
    num_tokens: int,
    text_dim: int,
) -> NPNetConfig | LayoutNPNetConfig:
    """The network of an architecture for one text-to-image model. Raises `ModelError` on a misfit."""
    if isinstance(architecture, LayoutArchitecture):
        return LayoutNPNetConfig(latent_shape, num_tokens, text_dim, architecture)
    return NPNetConfig(latent_shape, num_tokens, text_dim, architecture)
