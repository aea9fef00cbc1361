"""The control: how good images of the prompt are on average. It is the same for all noises of a prompt."""

from typing import TYPE_CHECKING

from goldennoise.generation.predictors.base import JUDGED, ROLE, SAME, Predicted, Predictor

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.methods.search.selector import Selector

READS = (SAME,)


class Difficulty(Predictor):
    """difficulty_<scorer> for every scorer: its mean over other noises of the same prompt."""

    def predicted(self, table: "pd.DataFrame") -> dict[str, Predicted]:
        # The command line reads `READS` before torch is loaded.
        from goldennoise.generation.units import PREFIX

        prompts = table.loc[table[ROLE] == JUDGED, "prompt_id"]
        found = {}
        for column in map(str, table):
            if column.startswith(PREFIX):
                means = table[table[ROLE] == SAME].groupby("prompt_id")[column].mean()
                found[f"difficulty_{column.removeprefix(PREFIX)}"] = Predicted(prompts.map(means).to_numpy(), 0.0)
        return found


def build(selector: "Selector") -> Difficulty:  # noqa: ARG001
    return Difficulty()
