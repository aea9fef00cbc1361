"""The time prediction module of TPDM, layer by layer (arXiv 2412.01243; GitHub maple-research-lab/TPDM)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, silu

from goldennoise.errors import ModelError
from goldennoise.networks.time_predictor import TimePredictorConfig
from goldennoise.runtime.seeding import seeded

CHANNELS, POOLED = 128, 16
"""Of the convolutions, and the side of the map that is pooled at the end."""
INIT_STD = 0.02
"""Of the weights of linear layers and convolutions."""


class AdaptiveNorm(nn.Module):
    """Group normalisation (one group) that the time embedding scales and shifts."""

    def __init__(self, time_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(time_dim, 2 * CHANNELS)
        self.norm = nn.GroupNorm(1, CHANNELS, eps=1e-6)

    def forward(self, maps: Tensor, time_embedding: Tensor) -> Tensor:
        shift, scale = self.linear(silu(time_embedding))[:, :, None, None].chunk(2, dim=1)
        return self.norm(maps) * (1 + scale) + shift


class TimePredictor(nn.Module):
    """(alpha, beta) of the Beta distribution of next level / level, both above 1.

    The names of its 12 tensors are the published ones.
    """

    def __init__(self, config: TimePredictorConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(2 * config.width, CHANNELS, 3, padding=1)
        self.norm1 = AdaptiveNorm(config.width)
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(CHANNELS, CHANNELS)
        self.fc2 = nn.Linear(CHANNELS, 2)

    def forward(self, features: Tensor, time_embedding: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and beta, each (B,), float32.

        features: (B, 2D, H, W), the first and the last features of the denoiser side by side. time_embedding: (B, D).
        Raises `ModelError` for other widths.
        """
        width = self.config.width
        if features.ndim != 4 or features.shape[1] != 2 * width or time_embedding.shape[1:] != (width,):
            raise ModelError(
                f"This time predictor reads features (B, {2 * width}, H, W) and time embeddings (B, {width}), not "
                f"{tuple(features.shape)} and {tuple(time_embedding.shape)}: use the one trained for this model."
            )
        dtype = self.conv1.weight.dtype
        maps = silu(self.norm1(self.conv1(features.to(dtype)), time_embedding.to(dtype)))
        # For a map of 8 x 8 the average repeats values, which the maximum does not see.
        pooled = adaptive_avg_pool2d(self.conv2(maps), POOLED).amax(dim=(2, 3))
        shape_a, shape_b = self.fc2(silu(self.fc1(pooled))).float().unbind(dim=1)
        return 1 + shape_a.exp(), 1 + shape_b.exp()


def new_predictor(config: TimePredictorConfig, seed: int) -> TimePredictor:
    """An untrained predictor whose weights depend on `seed` alone, initialised as published."""
    with seeded(seed):
        network = TimePredictor(config)
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.normal_(layer.weight, std=INIT_STD)
        for layer in (network.conv1, network.conv2, network.fc1):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            network.fc2.bias.copy_(torch.tensor([config.init_alpha, config.init_beta]))
    return network


def as_published(maps: Tensor) -> Tensor:
    """Maps (B, C, H, W) of tokens in raster order, with the tokens where the published code of Stable Diffusion 3 has
    them.

    It takes the raster order for blocks of 2 x 2: token 128 h + 4 w + 2 p + q of 64 x 64 lies at (2 h + p, 2 w + q).
    Raises `ModelError` for an odd height or width.
    """
    height, width = maps.shape[2:]
    if height % 2 or width % 2:
        raise ModelError(f"The published layout reads maps of even height and width, not {height} x {width}.")
    blocks = maps.flatten(2).unflatten(2, (height // 2, width // 2, 2, 2))
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(maps.shape)
