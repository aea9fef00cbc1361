"""The text embedding e of NPNet: the noise, normalised and modulated by the prompt."""

import torch.nn.functional as F
from torch import Tensor, nn

from goldennoise.networks.npnet import NetworkConfig


class AdaGroupNorm(nn.Module):
    """GroupNorm(x) * (1 + scale) + shift, scale and shift from the prompt; one group over all of (C, h, w)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.num_tokens * config.text_dim, 2 * config.latent_shape[0])

    def forward(self, noise: Tensor, prompt_embeds: Tensor) -> Tensor:
        """noise (B, C, h, w), prompt_embeds (B, tokens, dim) to (B, C, h, w)."""
        scale, shift = self.linear(prompt_embeds.flatten(1))[:, :, None, None].chunk(2, dim=1)
        return F.group_norm(noise, num_groups=1, eps=1e-6) * (1 + scale) + shift
