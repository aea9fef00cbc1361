"""A small NPNet away from its start, and inputs for it."""

import torch
from torch import Tensor

from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.npnet.network import build as seeded_npnet

NUM_TOKENS, TEXT_DIM = 5, 6
SMALL = ArchitectureConfig(
    image_size=32,
    patch_size=2,
    window=4,
    embed_dim=24,
    depths=(2, 2),
    heads=(3, 6),
    vector_hidden=8,
    value_hidden=16,
    attention_heads=2,
)


def make_network(
    latent_shape: tuple[int, int, int] = (4, 8, 8),
    architecture: ArchitectureConfig = SMALL,
    vector_mean: str = "before",
) -> NPNet:
    """alpha, beta and every layer contribute to the output."""
    network = seeded_npnet(NPNetConfig(latent_shape, NUM_TOKENS, TEXT_DIM, architecture, vector_mean), seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 0.2 if name.startswith("singular_values.") else 0.1
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
        network.alpha.fill_(0.9)
        network.beta.fill_(0.7)
    return network.eval()


def make_inputs(latent_shape: tuple[int, int, int] = (4, 8, 8), num: int = 4) -> tuple[Tensor, Tensor]:
    """Noise (num, C, h, w) and prompt embeddings (num, tokens, dim)."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(num, *latent_shape, generator=generator)
    return noise, torch.randn(num, NUM_TOKENS, TEXT_DIM, generator=generator)
