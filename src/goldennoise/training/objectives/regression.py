"""What NPNet is trained for: to predict golden noise, or to make noise whose images score higher."""

from typing import Protocol

import torch
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.methods.search.selector import Selector
from goldennoise.training.engine.data import PairBatch


class Objective(Protocol):
    """A loss for every pair of a batch."""

    def __call__(self, predicted: Tensor, batch: PairBatch) -> Tensor:
        """(B,) losses, fp32, of predicted noise (B, C, h, w) for `batch.source`."""
        ...


def regression(predicted: Tensor, batch: PairBatch) -> Tensor:
    """Mean squared error to the golden noise (arXiv 2411.09502, the training loss)."""
    return _squared_distance(predicted, batch.golden)


def gain_weighted(predicted: Tensor, batch: PairBatch) -> Tensor:
    """`regression`, weighted by the gain of the golden image over the mean gain of all pairs that are learnt from.

    A pair without a gain weighs nothing, unless no pair has any: then all weigh the same.
    """
    return batch.gains * regression(predicted, batch)


class Reward:
    """Minus the weighted score of the image, plus the squared distance from the source noise (arXiv 2508.09968, eq. 9).

    The distance is what the divergence of the noise from N(0, I) comes to for small changes. It is a mean over
    dimensions, so that `weight` does not depend on the size of the latents.
    """

    def __init__(self, model: DiffusionModel, selector: Selector, num_steps: int, weight: float) -> None:
        self.model = model
        self.selector = selector
        self.num_steps = num_steps
        self.weight = weight

    def __call__(self, predicted: Tensor, batch: PairBatch) -> Tensor:
        with torch.no_grad():
            embedding = self.model.encode(batch.prompts)
        prompts = [Prompt.of(text) for text in batch.prompts]
        scores = self.selector.through(self.model, predicted, embedding, prompts, self.num_steps)
        return 0.5 * _squared_distance(predicted, batch.source) - self.weight * scores.float()


def _squared_distance(predicted: Tensor, target: Tensor) -> Tensor:
    return (predicted.float() - target).square().flatten(1).mean(1)
