"""The scorer that selects, on the image that the sampler predicts after a few steps."""

from typing import TYPE_CHECKING, Any

import numpy as np

from goldennoise.generation.predictors.base import JUDGED, ROLE, Predicted, Predictor, Seen

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.methods.search.selector import Selector

READS = ()


class Preview(Predictor):
    """preview_<k> for every k of `stage.preview_steps`; it costs k steps."""

    def __init__(self, selector: "Selector") -> None:
        self.selector = selector

    def measured(self, seen: Seen) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for step, latents in seen.previews.items():
            scores = self.selector.of_images(seen.model.decode(latents), seen.batch.prompts)
            columns[f"preview_{step}"] = scores.tolist()
            columns[f"evaluations_preview_{step}"] = [seen.num_evaluations[step]] * len(scores)
        return columns

    def predicted(self, table: "pd.DataFrame") -> dict[str, Predicted]:
        judged = table[table[ROLE] == JUDGED]
        names = [column for column in map(str, table) if column.startswith("preview_")]
        return {
            name: Predicted(judged[name].to_numpy(dtype=np.float64), float(judged[f"evaluations_{name}"].mean()))
            for name in names
        }


def build(selector: "Selector") -> Preview:
    return Preview(selector)
