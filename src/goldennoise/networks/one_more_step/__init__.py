"""The network of One More Step, which predicts the mean image of a prompt (arXiv 2311.15744). Imports no torch."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from goldennoise.errors import ModelError, require
from goldennoise.networks.base import IMAGES, Architecture, NetworkInputs
from goldennoise.store.options import Check, number, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Config(Architecture):
    """The defaults are the published network: 154,014,564 parameters for 4 latent channels and text of width 1024."""

    output: ClassVar[str] = IMAGES

    kind: str = option("one_more_step", Check(lambda kind: kind == "one_more_step", "one_more_step"))
    """Of this kind of network."""
    block_out_channels: tuple[int, ...] = option(
        (160, 320, 640), Check(lambda channels: min(channels, default=0) >= 1, "one number >= 1 per block")
    )
    """Channels of each block of the UNet; all blocks but the first attend to the prompt."""
    layers_per_block: int = option(2, number(least=1))
    """Residual blocks of each block."""
    head_dim: int = option(32, number(least=1))
    """Channels of an attention head; a divisor of the channels of every block."""
    norm_groups: int = option(32, number(least=1))
    """Groups of the normalisations; a divisor of the channels of every block."""
    linear_projection: bool = True
    """Whether attention begins and ends with linear layers, as in Stable Diffusion 2, or with convolutions of 1 x 1, as
    in Stable Diffusion 1."""

    def __post_init__(self) -> None:
        # Configuration libraries and JSON hand lists over; equality and hashing need tuples.
        object.__setattr__(self, "block_out_channels", tuple(self.block_out_channels))
        super().__post_init__()
        for name in ("head_dim", "norm_groups"):
            divisor = getattr(self, name)
            fits = all(channels % divisor == 0 for channels in self.block_out_channels)
            require(fits, name, divisor, f"a divisor of each of block_out_channels={list(self.block_out_channels)}")


@dataclass(frozen=True)
class NetworkConfig(NetworkInputs):
    """A network of One More Step for one text-to-image model.

    It takes latents of any height and width and any number of tokens; those of the model it was trained for are told.
    """

    architecture: Config = field(default_factory=Config)
    """Sizes of the network."""

    def check(self, noise: "Tensor", prompt_embeds: "Tensor") -> None:
        """Raise `ModelError` unless channels (B, C, h, w) and width (B, tokens, dim) are the network's."""
        taken, given = (self.latent_shape[0], self.text_dim), (noise.shape[1], prompt_embeds.shape[-1])
        if taken != given:
            raise ModelError(
                f"This network of One More Step takes {taken[0]} latent channels and prompt embeddings of width "
                f"{taken[1]}, not {given[0]} and {given[1]}: use the network trained for this model, or set "
                "text_encoder to the text encoder that it was trained with."
            )
