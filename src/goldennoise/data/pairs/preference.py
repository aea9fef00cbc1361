"""Which pairs are kept: those whose golden image is preferred (arXiv 2411.09502, section 3.2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PreferenceFilter:
    """Keeps a pair when the golden image scores better than the source image by more than `margin`, strictly.

    scorer: its name in the index. margin: in the scorer's unit; for a scorer whose lower score is better, the golden
    score must lie lower by more than the margin.
    """

    scorer: str
    margin: float = 0.0
    higher_is_better: bool = True

    def keep(self, source: NDArray[np.float64], golden: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Booleans (num,) from the scores (num,) of both images."""
        worse, better = (source, golden) if self.higher_is_better else (golden, source)
        return worse + self.margin < better

    def gain(self, source: NDArray[np.float64], golden: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much (num,) the golden image is preferred, in the scorer's unit."""
        return golden - source if self.higher_is_better else source - golden
