"""What a predictor sees and says."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch

Array = NDArray[np.float64]

JUDGED = "judged"
"""Samples whose scores are predicted."""
SAME = "same"
"""Samples of the same prompts from other noises."""
LEARNT = "learnt"
"""Samples of other prompts."""
ROLE = "role"
"""Column of a table of samples: one of the three above."""
SELECTED = "selected"
"""Column of the score by the scorer that selects, higher is better."""
SIDE = 4
"""Of the grid that maps are averaged to."""


@dataclass(frozen=True)
class Seen:
    """A batch of B samples while it is sampled from its source noise by the model's own sampler.

    previews: step, one of `stage.preview_steps`, to the clean latents (B, C, h, w) that it predicts. num_evaluations:
    step to the evaluations that a sample has taken until then.
    """

    model: "DiffusionModel"
    batch: "SampleBatch"
    previews: Mapping[int, "Tensor"]
    num_evaluations: Mapping[int, float]


@dataclass(frozen=True)
class Predicted:
    """values: of the judged samples, in the order of the table. num_evaluations: of the model for one of them."""

    values: Array
    num_evaluations: float


class Predictor(ABC):
    """Measures every sample while it is sampled; predicts when all have been."""

    def measured(self, seen: Seen) -> dict[str, list[Any]]:  # noqa: ARG002
        """Columns of the table, a number or a list of numbers for each sample of the batch."""
        return {}

    @abstractmethod
    def predicted(self, table: "pd.DataFrame") -> dict[str, Predicted]:
        """Name -> prediction, one or several. table: of all samples, with `ROLE`, `SELECTED`, prompt_id and seed, a
        column score_<scorer> for each scorer, higher is better, and those that `measured` gave."""


def pooled(maps: "Tensor") -> list[list[float]]:
    """Means of maps (B, C, h, w) over a grid of `SIDE` x `SIDE` cells: (B, C SIDE^2)."""
    from torch.nn.functional import adaptive_avg_pool2d

    found: list[list[float]] = adaptive_avg_pool2d(maps.float(), SIDE).flatten(1).cpu().tolist()
    return found


def vectors(table: "pd.DataFrame", column: str, role: str) -> Array:
    """A column of lists of numbers as an array, for the samples of a role."""
    return np.array(table.loc[table[ROLE] == role, column].tolist(), dtype=np.float64)
