"""The head that the LAION aesthetic predictor and ImageReward put on features of 768 numbers."""

import itertools

from torch import Tensor, nn

WIDTHS = (768, 1024, 128, 64, 16, 1)
PLACES = (0, 2, 4, 6, 7)
"""Where the published files number the layers; dropout, which does nothing at inference, stands between."""


class RewardHead(nn.Module):
    """Linear layers without activations between them: (B, 768) -> (B, 1). Tensors are named as published."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Identity() for _ in range(PLACES[-1] + 1)))
        for place, sizes in zip(PLACES, itertools.pairwise(WIDTHS), strict=True):
            self.layers[place] = nn.Linear(*sizes)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)
