"""A small network of One More Step away from its start, and inputs for it."""

import torch
from torch import Tensor

from goldennoise.networks.one_more_step import Config, NetworkConfig
from goldennoise.networks.one_more_step.network import OneMoreStep, build

SMALL = Config(block_out_channels=(8, 16), layers_per_block=1, head_dim=8, norm_groups=4)


def make_network(
    latent_shape: tuple[int, int, int] = (4, 8, 8), text: tuple[int, int] = (5, 6), architecture: Config = SMALL
) -> OneMoreStep:
    """Every weight counts: freshly initialised, the text hardly reaches the output."""
    network = build(NetworkConfig(latent_shape, *text, architecture), seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return network.eval()


def make_inputs(latent_shape: tuple[int, int, int] = (4, 8, 8), num: int = 4) -> tuple[Tensor, Tensor]:
    """Noise (num, C, h, w) and prompt embeddings (num, 5, 6)."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(num, *latent_shape, generator=generator), torch.randn(num, 5, 6, generator=generator)
