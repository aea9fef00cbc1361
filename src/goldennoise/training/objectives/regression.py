"""Regression to the golden noise (arXiv 2411.09502, the training loss)."""

from typing import TYPE_CHECKING

from goldennoise.training.objectives.base import NoiseObjective, squared_distance

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.training.engine.data import PairBatch


class Loss(NoiseObjective):
    """Mean squared error to the golden noise."""

    label = "mean squared error"
    sentence = "Mean squared error to the golden noise of the pairs"

    def losses(self, predicted: "Tensor", batch: "PairBatch") -> "Tensor":
        return squared_distance(predicted, batch.golden)
