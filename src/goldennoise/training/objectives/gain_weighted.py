"""Regression to the golden noise that listens more to pairs whose golden image was preferred by more."""

from typing import TYPE_CHECKING

from goldennoise.training.objectives.base import NoiseObjective, squared_distance

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.training.engine.data import PairBatch


class Loss(NoiseObjective):
    """Mean squared error, weighted by the gain of the golden image over the mean gain of the chosen pairs.

    A pair without a gain weighs nothing, unless no pair has any: then all weigh the same.
    """

    label = "weighted squared error"
    sentence = "Mean squared error to the golden noise of the pairs, each weighted by its gain"
    needs_gains = True

    def losses(self, predicted: "Tensor", batch: "PairBatch") -> "Tensor":
        return batch.gains * squared_distance(predicted, batch.golden)
