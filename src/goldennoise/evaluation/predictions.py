"""What predictors said of the samples of a run, and the referee's verdicts by each of its scorers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from goldennoise.evaluation.prediction import Images, Prediction, Verdict, referee
from goldennoise.generation.predictions import EVALUATIONS
from goldennoise.generation.predictors.base import JUDGED, ROLE, SELECTED, Array, Predictor
from goldennoise.generation.units import PREFIX, SCORE_COLUMNS


@dataclass(frozen=True)
class Judgement:
    """All predictors by one scorer. selects: whether it measures what the selecting scorer does, so that it is no
    evidence."""

    scorer: str
    unit: str
    selects: bool
    verdicts: dict[str, Verdict]
    num_evaluations: dict[str, float]
    """Of the model for a prediction, by predictor."""


def said(table: pd.DataFrame, predictors: Sequence[Predictor], given: pd.DataFrame | None) -> pd.DataFrame:
    """`predictions.parquet`: a row for each predictor and judged sample, in the order of `table`.

    given: predictions of the user's, with the same columns and a row for each judged sample.
    """
    keys = table.loc[table[ROLE] == JUDGED, ["prompt_id", "seed"]]
    rows = [
        keys.assign(predictor=name, value=one.values, evaluations=one.num_evaluations)
        for predictor in predictors
        for name, one in predictor.predicted(table).items()
    ]
    if given is not None:
        rows += [keys.merge(one.astype({"seed": keys["seed"].dtype})) for _, one in given.groupby("predictor")]
    return pd.concat(rows, ignore_index=True)


def judged_scores(table: pd.DataFrame, scorers: Sequence[str]) -> pd.DataFrame:
    """`scores.parquet`: a row for each judged sample and scorer."""
    judged = table[table[ROLE] == JUDGED]
    columns = {PREFIX + scorer: scorer for scorer in scorers}
    return judged.rename(columns=columns).melt(SCORE_COLUMNS[:4], [*scorers], "scorer", "score")


def judgements(
    table: pd.DataFrame,
    predicted: pd.DataFrame,
    units: Mapping[str, str],
    selecting: set[str],
    num_resamples: int,
    seed: int,
) -> list[Judgement]:
    """By every scorer of `units`, those that do not select first."""
    judged = table[table[ROLE] == JUDGED]
    num_prompts = judged["prompt_id"].nunique()

    def grid(values: pd.Series) -> Array:
        return values.to_numpy(dtype=np.float64).reshape(num_prompts, -1)

    found = []
    for scorer in sorted(units, key=lambda name: name in selecting):
        selected = None if scorer in selecting else grid(judged[SELECTED])
        images = Images(grid(judged[PREFIX + scorer]), selected, float(judged[EVALUATIONS].mean()))
        costs, verdicts = {}, {}
        for predictor, rows in predicted.groupby("predictor", sort=False):
            costs[str(predictor)] = float(rows["evaluations"].mean())
            prediction = Prediction(grid(rows["value"]), costs[str(predictor)])
            verdicts[str(predictor)] = referee(images, prediction, num_resamples, seed)
        found.append(Judgement(scorer, units[scorer], scorer in selecting, verdicts, costs))
    return found
