"""Training a network that draws layouts: the likelihood of golden minus source noise given the prompt, and a contrast.

A mixture density network (Bishop 1994); the contrast is our own (docs/science.md). The likelihood alone learns for long
no more than what stands in an image. The contrast asks of a group of prompts with nearly the same words which one a
pair is of, and so teaches where things stand; it spoils the likelihood, so it fades.
"""

import torch
from torch import Tensor

from goldennoise.networks.layouts.network import LayoutNPNet
from goldennoise.training.engine.data import PairBatch
from goldennoise.training.engine.look_alikes import GROUP_SIZE
from goldennoise.training.engine.module import NoiseTraining

VARIANCE = 6.0
"""Of the mixture's Gaussians, where the layouts' own along an axis is 1 in the mean. Were it below that, every image
would belong to one layout from the start."""
CONTRAST_FROM, CONTRAST_TO, CONTRAST_FADES = 2.0, 0.1, 0.8
"""Weight of the contrast beside the log-likelihood, first and last, and the share of the steps in between."""


class LayoutTraining(NoiseTraining):
    """The loss of a pair is -2 v / rank (log p + weight (log p - log of the sum of p over the prompts of its group)).

    p: density of its golden minus source noise, in coefficients of the network's basis, under the mixture of Gaussians
    of variance v around the layouts of its prompt, up to a constant. For one layout without contrast this is the mean
    squared error of its coefficients. Batches are groups of `GROUP_SIZE` pairs, one after the other.
    """

    network: LayoutNPNet

    def pair_losses(self, batch: PairBatch) -> Tensor:
        return self._losses(batch, *self.network.mixture(batch.prompt_embeds))

    def source_losses(self, batch: PairBatch) -> Tensor:
        """Of a single layout without anything in it."""
        nothing = batch.source.new_zeros(len(batch.source), 1, len(self.network.basis))
        return self._losses(batch, nothing, nothing[:, :, 0])

    def _losses(self, batch: PairBatch, coefficients: Tensor, log_weights: Tensor) -> Tensor:
        """coefficients: (B, layouts, rank). log_weights: (B, layouts)."""
        rank = coefficients.shape[2]
        displacements = self.network.coefficients_of(batch.golden - batch.source).view(-1, GROUP_SIZE, rank)
        layouts = coefficients.reshape(len(displacements), -1, rank)
        products = displacements.to(layouts.dtype) @ layouts.transpose(1, 2)
        # In bf16 the squares would drown what tells two prompts apart.
        squares = displacements.square().sum(2)[:, :, None] + layouts.float().square().sum(2)[:, None]
        squares = (squares - 2 * products.float()).unflatten(2, (GROUP_SIZE, -1))
        log_weights = log_weights.float().view(len(squares), 1, GROUP_SIZE, -1)
        # (groups, pairs, prompts)
        log_p = torch.logsumexp(log_weights - squares / (2 * VARIANCE), dim=3)
        own = log_p.diagonal(dim1=1, dim2=2)
        contrast = log_p.logsumexp(dim=2) - own
        return (2 * VARIANCE / rank * (self._contrast_weight() * contrast - own)).flatten()

    def _contrast_weight(self) -> float:
        """Outside of training its last, so that validation losses can be compared."""
        done = self.global_step / self.trainer.estimated_stepping_batches if self.training else 1.0
        return CONTRAST_FROM + (CONTRAST_TO - CONTRAST_FROM) * min(1.0, done / CONTRAST_FADES)
