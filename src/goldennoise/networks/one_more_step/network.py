"""A UNet without time: from pure noise it predicts v = -x_0, so what it learns is the mean image of a prompt."""

from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from goldennoise.networks.network import GoldenNetwork
from goldennoise.networks.one_more_step import NetworkConfig
from goldennoise.runtime.seeding import seeded


class OneMoreStep(GoldenNetwork):
    """Predicts latents of an image from noise and prompt.

    diffusers' conditional UNet with every part that reads the timestep removed. Its output is v at alpha-bar 0, where
    v = sqrt(alpha-bar) noise - sqrt(1 - alpha-bar) x_0 is -x_0. Row i of the output depends on row i of the inputs
    alone.
    """

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.unet = timeless_unet(config)

    def forward(self, noise: Tensor, prompt_embeds: Tensor) -> Tensor:
        """The predicted image -v, latents (B, C, h, w) in the noise's dtype.

        noise: (B, C, h, w), standard normal. prompt_embeds: (B, tokens, dim). Raises `ModelError` for other shapes.
        """
        self.config.check(noise, prompt_embeds)
        dtype = self.unet.conv_in.weight.dtype
        velocity = self.unet(noise.to(dtype), 0, prompt_embeds.to(dtype), return_dict=False)[0]
        return -velocity.to(noise.dtype)


class NoTime(nn.Module):
    """In place of the embedding of the timestep: none."""

    def forward(self, *_: Any) -> None:
        return None


def timeless_unet(config: NetworkConfig) -> Any:
    """An untrained UNet whose output depends on latents and text alone."""
    architecture, channels = config.architecture, config.latent_shape[0]
    attending = len(architecture.block_out_channels) - 1
    # Any: diffusers imports lazily, and type checkers see a placeholder.
    unet: Any = UNet2DConditionModel(
        in_channels=channels,
        out_channels=channels,
        block_out_channels=architecture.block_out_channels,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * attending),
        up_block_types=(*["CrossAttnUpBlock2D"] * attending, "UpBlock2D"),
        layers_per_block=architecture.layers_per_block,
        cross_attention_dim=config.text_dim,
        # What diffusers takes under this name is the number of heads.
        attention_head_dim=tuple(width // architecture.head_dim for width in architecture.block_out_channels),
        norm_num_groups=architecture.norm_groups,
        use_linear_projection=architecture.linear_projection,
    )
    unet.time_embedding = NoTime()
    for part in unet.modules():
        if hasattr(part, "time_emb_proj"):
            part.time_emb_proj = None
    return unet


def build(config: NetworkConfig, seed: int) -> OneMoreStep:
    """An untrained network whose weights depend on `seed` alone; the global random state is left as it was."""
    with seeded(seed):
        return OneMoreStep(config)
