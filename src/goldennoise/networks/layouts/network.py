"""Golden noise from layouts: the source moved towards the one of several layouts of the prompt that resembles it."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldennoise.errors import ModelError
from goldennoise.networks.layouts import NetworkConfig
from goldennoise.networks.network import GoldenNetwork
from goldennoise.runtime.seeding import seeded

NUM_FITTED, NUMBERS_FITTED = 4096, 2**28
"""Pairs that the inputs are fitted to, evenly spaced among all, and numbers in their prompt embeddings, and in their
noise, at most: 1 GB each."""


class LayoutNPNet(GoldenNetwork):
    """Draws `num_layouts` layouts L_k for a prompt, weighs them, and moves the noise x towards one of them:

        golden = |x| (x + strength L_k) / |x + strength L_k|,   k = argmax log w_k + resemblance sqrt(d) cos(L_k, x)

    d: number of latents, so that the cosine times its root is standard normal for a layout that has nothing to do with
    the noise. A layout is the latents of an image less their mean over space; a mixture density network (Bishop 1994)
    of their Gaussian mixture given the prompt. Row i of the output depends on row i of the inputs alone.
    """

    config: NetworkConfig
    text_mean: Tensor
    text_whitening: Tensor
    basis: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        architecture = config.architecture
        width, hidden, rank = architecture.width, architecture.hidden, architecture.rank
        # The inputs' whitening and the layouts' basis are fitted to the data once, before training.
        self.register_buffer("text_mean", torch.zeros(config.text_dim))
        self.register_buffer("text_whitening", torch.eye(config.text_dim))
        self.register_buffer("basis", torch.eye(rank, math.prod(config.latent_shape)))
        self.tokens = nn.Linear(config.text_dim, width)
        self.whole = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(config.num_tokens + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, architecture.heads, 3 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.text = nn.TransformerEncoder(layer, architecture.depth, enable_nested_tensor=False)
        self.head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden), nn.GELU(),
            nn.Linear(hidden, hidden), nn.GELU(),
        )  # fmt: skip
        self.coefficients = nn.Linear(hidden, architecture.num_layouts * rank)
        self.weights = nn.Linear(hidden, architecture.num_layouts)
        # Layouts that start alike would share every image and stay alike.
        nn.init.normal_(self.coefficients.bias, std=0.2)
        nn.init.normal_(self.coefficients.weight, std=0.02)

    def forward(self, noise: Tensor, prompt_embeds: Tensor) -> Tensor:
        """Golden noise (B, C, h, w), in the noise's dtype.

        noise: (B, C, h, w), standard normal. prompt_embeds: (B, tokens, dim) from the pipeline's text encoder.
        Raises `ModelError` for other shapes.
        """
        self.config.check(noise, prompt_embeds)
        coefficients, log_weights = self.mixture(prompt_embeds.to(self.basis.dtype))
        layouts = coefficients @ self.basis
        source = noise.to(layouts.dtype).flatten(1)
        resemblance = F.cosine_similarity(layouts, source[:, None], dim=2) * math.sqrt(source.shape[1])
        logits = log_weights + self.config.architecture.resemblance * resemblance
        chosen = layouts[torch.arange(len(layouts)), logits.argmax(dim=1)]
        if torch.is_grad_enabled():
            # Zero, with the gradient of the expected layout with respect to the choice: straight-through, as in
            # arXiv 1308.3432.
            likely = logits.softmax(dim=1)
            chosen = chosen + ((likely - likely.detach())[:, :, None] * layouts.detach()).sum(dim=1)
        moved = source + self.config.architecture.strength * chosen
        golden = moved * (source.norm(dim=1) / moved.norm(dim=1))[:, None]
        return golden.view_as(noise).to(noise.dtype)

    def mixture(self, prompt_embeds: Tensor) -> tuple[Tensor, Tensor]:
        """Of every prompt its layouts as coefficients (B, num_layouts, rank) of `basis`, and log weights (B, num)."""
        words = self.tokens((prompt_embeds - self.text_mean) @ self.text_whitening)
        sequence = torch.cat([self.whole.expand(len(words), -1, -1), words], dim=1) + self.places
        hidden = self.head(self.text(sequence)[:, 0])
        coefficients = self.coefficients(hidden).unflatten(1, (self.config.architecture.num_layouts, -1))
        return coefficients, self.weights(hidden).log_softmax(dim=1)

    def coefficients_of(self, layouts: Tensor) -> Tensor:
        """(B, rank) of layouts (B, C, h, w), as near as `basis`, whose axes are orthogonal, can make them."""
        return layouts.flatten(1) @ self.basis.T / self.basis.square().sum(dim=1)

    def fit_to(self, prompt_embeds: Callable[[int], Tensor], displacements: Callable[[int], Tensor]) -> None:
        num_pairs = min(NUM_FITTED, max(self.config.architecture.rank, NUMBERS_FITTED // self.basis.shape[1]))
        num_prompts = min(NUM_FITTED, NUMBERS_FITTED // (self.config.num_tokens * self.config.text_dim))
        self.fit_inputs(prompt_embeds(num_prompts), displacements(num_pairs))

    @torch.no_grad()
    def fit_inputs(self, prompt_embeds: Tensor, layouts: Tensor) -> None:
        """Whitens the tokens of prompt embeddings (N, tokens, dim); takes the principal axes of layouts (M, C, h, w).

        The axes are of one length, such that the layouts' coefficients have a mean square of 1.
        Raises `ModelError` for fewer layouts than axes.
        """
        flat, rank = layouts.flatten(1), self.config.architecture.rank
        if len(flat) < rank:
            raise ModelError(f"{len(flat)} layouts have no {rank} principal axes: give more, or a smaller rank.")
        tokens = prompt_embeds.flatten(0, 1)
        self.text_mean.copy_(tokens.mean(dim=0))
        variances, axes = torch.linalg.eigh(torch.cov(tokens.T))
        self.text_whitening.copy_(axes / variances.clamp_min(1e-6 * variances.max()).sqrt())
        axes = torch.linalg.svd(flat, full_matrices=False).Vh[:rank]
        self.basis.copy_(axes * (flat @ axes.T).square().mean().sqrt())


def build(config: NetworkConfig, seed: int) -> LayoutNPNet:
    """An untrained network whose weights depend on `seed` alone; the global random state is left as it was."""
    with seeded(seed):
        return LayoutNPNet(config)
