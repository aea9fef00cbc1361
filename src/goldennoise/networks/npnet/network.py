"""NPNet: golden = S(x) + (2 sigmoid(alpha) - 1) e + beta R(x + e), e the text embedding (arXiv 2411.09502)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from goldennoise.networks.network import GoldenNetwork
from goldennoise.networks.npnet import NetworkConfig
from goldennoise.networks.npnet.residual import ResidualBranch
from goldennoise.networks.npnet.singular_values import SingularValueBranch, SvdFactors, svd_factors
from goldennoise.networks.npnet.text_embedding import AdaGroupNorm
from goldennoise.runtime.seeding import seeded


class NPNet(GoldenNetwork):
    """Predicts golden noise. `alpha` and `beta` start at 0, where the network is its singular-value branch alone.

    Row i of the output depends on row i of the inputs alone. In `train()` mode the backbone's stochastic depth is on.
    """

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        branches = config.architecture.branches
        self.singular_values = None if branches == "residual" else SingularValueBranch(config)
        self.residual = None if branches == "singular_values" else ResidualBranch(config)
        self.text_embedding = AdaGroupNorm(config)
        self.alpha = nn.Parameter(torch.zeros(()))
        # A parameter without a gradient would stop training on several devices.
        self.beta = None if self.residual is None else nn.Parameter(torch.zeros(()))

    def forward(self, noise: Tensor, prompt_embeds: Tensor, *factors: Tensor) -> Tensor:
        """Golden noise (B, C, h, w), in the noise's dtype.

        noise: (B, C, h, w), standard normal. prompt_embeds: (B, tokens, dim) from the pipeline's text encoder.
        factors: `frozen_inputs(noise)` where they are known already. Raises `ModelError` for other shapes.
        """
        self.config.check(noise, prompt_embeds)
        dtype = self.alpha.dtype
        source = noise.to(dtype)
        text = self.text_embedding(source, prompt_embeds.to(dtype))
        golden = source
        if self.singular_values is not None:
            golden = self.singular_values(SvdFactors(*(factors or self.frozen_inputs(noise))))
        golden = golden + (2 * torch.sigmoid(self.alpha) - 1) * text
        if self.residual is not None:
            golden = golden + self.beta * self.residual(source + text)
        return golden.to(noise.dtype)

    def frozen_inputs(self, noise: Tensor) -> Sequence[Tensor]:
        """The factors the network works on; they depend on its configuration, not on its weights."""
        return () if self.singular_values is None else svd_factors(noise, self.config)

    def vitals(self) -> dict[str, Tensor]:
        scales = {"alpha": self.alpha, "beta": self.beta}
        return {name: scale.detach() for name, scale in scales.items() if scale is not None}


def build(config: NetworkConfig, seed: int) -> NPNet:
    """An untrained NPNet whose weights depend on `seed` alone; the global random state is left as it was."""
    with seeded(seed):
        return NPNet(config)
