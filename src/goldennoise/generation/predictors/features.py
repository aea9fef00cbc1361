"""A ridge regression on the denoiser's features at the first step."""

from typing import TYPE_CHECKING, Any

from goldennoise.generation.predictors.base import JUDGED, LEARNT, ROLE, Predicted, Predictor, Seen, pooled
from goldennoise.generation.predictors.ridge import kernels, predicted_scores

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.methods.search.selector import Selector

READS = (LEARNT,)


class FeatureRegression(Predictor):
    """Learnt from other prompts; it costs one step."""

    def measured(self, seen: Seen) -> dict[str, list[Any]]:
        """Raises `ModelError` for a compiled denoiser, which shows no features."""
        import torch

        model, batch = seen.model, seen.batch
        start = model.levels(model.num_steps, batch.source)[0]
        level = torch.full((len(batch.source),), start, dtype=torch.float64)
        before = model.num_evaluations
        _, features = model.predict_with_features(batch.source, level, batch.embedding, model.guidance)
        cost = (model.num_evaluations - before) / len(batch.source)
        return {"features": pooled(features.maps), "evaluations_features": [cost] * len(batch.source)}

    def predicted(self, table: "pd.DataFrame") -> dict[str, Predicted]:
        values = predicted_scores(table, *kernels(table, "features"))
        cost = table.loc[table[ROLE] == JUDGED, "evaluations_features"].mean()
        return {"features": Predicted(values, float(cost))}


def build(selector: "Selector") -> FeatureRegression:  # noqa: ARG001
    return FeatureRegression()
