"""The residual branch R of NPNet: a Swin backbone that looks at the noise as an image."""

from typing import Any

import timm
import torch.nn.functional as F
from torch import Tensor, nn

from goldennoise.networks.npnet import NetworkConfig


class ResidualBranch(nn.Module):
    """1x1 convolution to RGB, Swin features, 1x1 convolution back to the latent's channels.

    The backbone's features (B, rows, columns, width) are read as (B, channels, height, width) with the rows as
    channels. That is an accident of timm's feature layout, but the published weights depend on it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        architecture = config.architecture
        channels, *self.latent_size = config.latent_shape
        self.image_size = [architecture.image_size] * 2
        self.to_rgb = nn.Conv2d(channels, 3, kernel_size=1)
        self.swin: Any = timm.create_model(
            "swin_tiny_patch4_window7_224",
            pretrained=architecture.pretrained_backbone,
            img_size=architecture.image_size,
            patch_size=architecture.patch_size,
            window_size=architecture.window,
            embed_dim=architecture.embed_dim,
            depths=architecture.depths,
            num_heads=architecture.heads,
            drop_path_rate=architecture.drop_path_rate,
            num_classes=0,
        )
        self.to_latent = nn.Conv2d(architecture.feature_side, channels, kernel_size=1)

    def forward(self, noise: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C, h, w)."""
        image = F.interpolate(self.to_rgb(noise), size=self.image_size, mode="nearest")
        features = self.swin.forward_features(image)
        return self.to_latent(F.interpolate(features, size=self.latent_size, mode="nearest"))
