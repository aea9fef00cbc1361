"""A ridge regression on noise and prompt: what can be known before the model has seen either."""

from typing import TYPE_CHECKING, Any

from goldennoise.generation.predictors.base import LEARNT, Predicted, Predictor, Seen, pooled
from goldennoise.generation.predictors.ridge import kernels, predicted_scores

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.methods.search.selector import Selector

READS = (LEARNT,)


class Critic(Predictor):
    """Learnt from other prompts: the noise at low frequencies, the mean embedding of the prompt, and their products."""

    def measured(self, seen: Seen) -> dict[str, list[Any]]:
        embedding = seen.batch.embedding.cond.float().mean(dim=1)
        return {"noise": pooled(seen.batch.source), "text": embedding.cpu().tolist()}

    def predicted(self, table: "pd.DataFrame") -> dict[str, Predicted]:
        pairs = zip(kernels(table, "noise"), kernels(table, "text"), strict=True)
        # The inner product of all products of two vectors' numbers is the product of the inner products.
        learnt, judged = (noise + text + noise * text for noise, text in pairs)
        return {"critic": Predicted(predicted_scores(table, learnt, judged), 0.0)}


def build(selector: "Selector") -> Critic:  # noqa: ARG001
    return Critic()
