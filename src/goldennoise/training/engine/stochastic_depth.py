"""Stochastic depth whose coins are a function of (seed, step, place in the global batch), on any number of devices."""

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from goldennoise.runtime.seeding import derive_seed


class SampleDropPath(nn.Module):
    """Skips a block for some samples in training (arXiv 1603.09382), the coins being tossed outside.

    keep: (B,) 1 where the block is kept, 0 where it is skipped.
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        self.keep: Tensor | None = None

    def forward(self, block: Tensor) -> Tensor:
        if not self.training:
            return block
        assert self.keep is not None, "StochasticDepth.toss comes before a training step"
        scale = self.keep.to(block) / (1 - self.drop_prob)
        return block * scale.view(-1, *(1,) * (block.dim() - 1))


class StochasticDepth:
    """All stochastic depth of a network. Replaces timm's layers, which draw from the global generator, in place."""

    def __init__(self, network: nn.Module) -> None:
        for parent in list(network.modules()):
            for name, child in parent.named_children():
                if isinstance(child, DropPath) and child.drop_prob:
                    setattr(parent, name, SampleDropPath(child.drop_prob).train(child.training))
        self.layers = [layer for layer in network.modules() if isinstance(layer, SampleDropPath)]

    def toss(self, seed: int, step: int, places: Tensor, num_global: int, device: torch.device) -> None:
        """Choose what is skipped at optimiser step `step` for the samples at `places` (B,) of a global batch."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "stochastic depth", "", step))
        coins = torch.rand(len(self.layers), num_global, generator=generator)[:, places]
        for layer, coin in zip(self.layers, coins, strict=True):
            layer.keep = (coin >= layer.drop_prob).to(device)
