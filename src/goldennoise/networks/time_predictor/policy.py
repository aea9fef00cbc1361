"""The policy over noise levels: next level / level is Beta(alpha, beta) distributed (arXiv 2412.01243, section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Beta, kl_divergence

EDGE = 1e-3
"""A ratio lies in [EDGE, 1 - EDGE]: at 0 and 1 the density is 0."""


@dataclass(frozen=True)
class BetaPolicy:
    """alpha, beta: (B,), float32, above 1, so that the density has one peak."""

    alpha: Tensor
    beta: Tensor

    @cached_property
    def _distribution(self) -> Beta:
        return Beta(self.alpha, self.beta, validate_args=False)

    @property
    def mode(self) -> Tensor:
        """The ratio (B,) of the largest density, within the edges; 1/2 where all have the same."""
        above, both = self.alpha.double() - 1, self.alpha.double() + self.beta.double() - 2
        return torch.where(both > 0, above / both, 0.5).float().clamp(EDGE, 1 - EDGE)

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """Ratios (B,), row i from its own generator with seeds[i], within the edges; float32 on the policy's device."""
        shapes = torch.stack([self.alpha, self.beta], dim=1).detach().double().tolist()
        drawn = [np.random.default_rng(seed).beta(*pair) for seed, pair in zip(seeds, shapes, strict=True)]
        return torch.tensor(drawn, dtype=torch.float32, device=self.alpha.device).clamp(EDGE, 1 - EDGE)

    def log_prob(self, ratio: Tensor) -> Tensor:
        """Log-density (B,) at ratios (B,) within the edges."""
        return self._distribution.log_prob(ratio)

    @property
    def entropy(self) -> Tensor:
        """(B,), in nats."""
        return self._distribution.entropy()

    def divergence(self, other: "BetaPolicy") -> Tensor:
        """Kullback-Leibler divergence (B,) of `other` from this one, in nats."""
        return kl_divergence(self._distribution, other._distribution)
