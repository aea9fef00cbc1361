"""The files published with One More Step (arXiv 2311.15744): the tensors of a UNet without time, and no settings."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.network import GoldenNetwork, filled_network
from goldennoise.networks.one_more_step import Config, NetworkConfig

LANDMARK = "conv_in.weight"
"""A tensor of every such file, and of none of an NPNet."""
LATENT_SIDE, TOKENS = 64, 77
"""What a file does not tell and the network does not need: sides of the latents of Stable Diffusion, and tokens of the
text encoder."""
_PREFIX = "unet."
_FIRST_LAYER = "down_blocks.{}.resnets.0.conv1.weight"


def network_of(tensors: Mapping[str, Tensor], path: Path) -> GoldenNetwork:
    """A network of One More Step in evaluation mode on the CPU, in fp32, of the tensors of the file `path`.

    Channels, layers and the width of the text follow from the tensors; heads of 32 channels and 32 groups are as
    published. Raises `ModelError` naming tensors that are missing, too many or of another shape.
    """
    architecture = _architecture(tensors, path)
    latent_shape = (_shape(tensors, LANDMARK, 4, path)[1], LATENT_SIDE, LATENT_SIDE)
    text_dim = _shape(tensors, "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 2, path)[1]
    config = NetworkConfig(latent_shape, TOKENS, text_dim, architecture)
    return filled_network(config, tensors, path, lambda name: name.removeprefix(_PREFIX))


def _architecture(tensors: Mapping[str, Tensor], path: Path) -> Config:
    blocks = [_FIRST_LAYER.format(block) for block in range(_count(tensors, _FIRST_LAYER))]
    channels = [_shape(tensors, name, 4, path)[0] for name in blocks or [_FIRST_LAYER.format(0)]]
    projection = tensors.get("mid_block.attentions.0.proj_in.weight")
    try:
        return Config(
            block_out_channels=tuple(channels),
            layers_per_block=_count(tensors, "down_blocks.0.resnets.{}.conv1.weight"),
            linear_projection=projection is None or projection.ndim == 2,
        )
    except ConfigError as error:
        raise ModelError(f"{path} is no network of One More Step: {error}") from error


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many names of the pattern there are, from 0 on without a gap."""
    return next(number for number in range(len(tensors) + 1) if pattern.format(number) not in tensors)


def _shape(tensors: Mapping[str, Tensor], name: str, ndim: int, path: Path) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim != ndim:
        raise ModelError(f"{path} is no network of One More Step: it lacks {name} of {ndim} dimensions.")
    return tuple(tensors[name].shape)
