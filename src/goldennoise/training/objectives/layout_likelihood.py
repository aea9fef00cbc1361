"""Training a network that draws layouts: the likelihood of golden minus source noise given the prompt, and a contrast.

A mixture density network (Bishop 1994); the contrast is our own (docs/science.md). The likelihood alone learns for long
no more than what stands in an image. The contrast tells which of a group of prompts with nearly the same words a
pair is of, and so teaches where things stand; it spoils the likelihood, so it fades.
"""

from typing import TYPE_CHECKING, Any

from goldennoise.training.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.training.engine.data import PairBatch

GROUP_SIZE = 12
"""Pairs to tell apart at a time, each of another prompt."""
VARIANCE = 6.0
"""Of the mixture's Gaussians, where the layouts' own along an axis is 1 in the mean. Were it below that, every image
would belong to one layout from the start."""
CONTRAST_FROM, CONTRAST_TO, CONTRAST_FADES = 2.0, 0.1, 0.8
"""Weight of the contrast beside the log-likelihood, first and last, and the share of the steps in between."""


class Loss(Objective):
    """The loss of a pair is -2 v / rank (log p + weight (log p - log of the sum of p over the prompts of its group)).

    p: density of its golden minus source noise, in coefficients of the network's basis, under the mixture of Gaussians
    of variance v around the layouts of its prompt, up to a constant. For one layout without contrast this is the mean
    squared error of its coefficients. Batches are groups of `GROUP_SIZE` pairs, one after the other.
    """

    sentence = (
        "Minus the log-likelihood of the layouts given their prompt, plus a contrast between prompts that are alike, "
        "whose weight falls while it trains and is the last one in validation"
    )
    outputs = ("layouts",)
    group_size = GROUP_SIZE

    def pair_losses(self, network: Any, batch: "PairBatch", done: float) -> "Tensor":
        """network: of the kind `layouts`."""
        coefficients, log_weights = network.mixture(batch.prompt_embeds)
        return _losses(network, batch, coefficients, log_weights, _contrast_weight(done))

    def source_losses(self, network: Any, batch: "PairBatch") -> "Tensor":
        """Of a single layout without anything in it."""
        nothing = batch.source.new_zeros(len(batch.source), 1, len(network.basis))
        return _losses(network, batch, nothing, nothing[:, :, 0], _contrast_weight(1.0))


def _losses(
    network: Any, batch: "PairBatch", coefficients: "Tensor", log_weights: "Tensor", contrast_weight: float
) -> "Tensor":
    """coefficients: (B, layouts, rank). log_weights: (B, layouts)."""
    rank = coefficients.shape[2]
    displacements = network.coefficients_of(batch.golden - batch.source).view(-1, GROUP_SIZE, rank)
    layouts = coefficients.reshape(len(displacements), -1, rank)
    products = displacements.to(layouts.dtype) @ layouts.transpose(1, 2)
    # In bf16 the squares would drown what tells two prompts apart.
    squares = displacements.square().sum(2)[:, :, None] + layouts.float().square().sum(2)[:, None]
    squares = (squares - 2 * products.float()).unflatten(2, (GROUP_SIZE, -1))
    log_weights = log_weights.float().view(len(squares), 1, GROUP_SIZE, -1)
    # (groups, pairs, prompts)
    log_p = (log_weights - squares / (2 * VARIANCE)).logsumexp(dim=3)
    own = log_p.diagonal(dim1=1, dim2=2)
    contrast = log_p.logsumexp(dim=2) - own
    return (2 * VARIANCE / rank * (contrast_weight * contrast - own)).flatten()


def _contrast_weight(done: float) -> float:
    return CONTRAST_FROM + (CONTRAST_TO - CONTRAST_FROM) * min(1.0, done / CONTRAST_FADES)
