"""The scores of an evaluation, as its artifact holds them."""

import pandas as pd

from goldennoise.errors import ArtifactError
from goldennoise.evaluation.summary import Summary
from goldennoise.generation.units import SCORE_COLUMNS, has_numbers, table_of
from goldennoise.store.artifacts import Artifact


def scores_table(scores: Artifact, summary: Summary) -> pd.DataFrame:
    """`scores.parquet`. Raises `ArtifactError` for a table of something else than the summary."""
    file = scores.path / "scores.parquet"
    table = table_of(file)
    if table is None or not _has_scores(table):
        found = "cannot be read" if table is None else "holds no scores"
        raise ArtifactError(f"{file} {found}: run stage=eval again or restore the file")
    for column, known in (("method", summary.methods), ("scorer", summary.scorers)):
        if {*table[column]} != {*known}:
            raise ArtifactError(f"{file} has other {column}s than summary.json: run stage=eval again or restore both")
    return table


def _has_scores(table: pd.DataFrame) -> bool:
    numbers = ["seed", "score"]
    if table.empty or not {*SCORE_COLUMNS} <= {*table.columns} or not has_numbers(table, numbers):
        return False
    return bool(table[SCORE_COLUMNS].drop(columns=numbers).map(lambda value: isinstance(value, str)).all(axis=None))
