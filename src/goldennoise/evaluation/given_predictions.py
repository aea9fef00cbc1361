"""Predictions of one's own: a table with a row for each sample and predictor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goldennoise.errors import DataError

KEYS = ["predictor", "prompt_id", "seed"]
COLUMNS = [*KEYS[1:], "value", "evaluations"]


def read_predictions(file: Path, prompt_ids: Sequence[str], num_seeds: int) -> pd.DataFrame:
    """Rows of the grid of prompt ids and seeds, with `KEYS`, value and evaluations.

    A table without a column predictor has one, named after the file.

    Raises `DataError` for a file that cannot be read, a missing column, a value that is no finite number, a sample that
    stands there twice, and a sample of the grid that is missing.
    """
    table = _read(file)
    if missing := [column for column in COLUMNS if column not in table]:
        raise DataError(f"{file} has no column {missing[0]}; it needs {', '.join(COLUMNS)}, and may have predictor")
    if "predictor" not in table:
        table = table.assign(predictor=file.stem)
    for column in COLUMNS[1:]:
        numbers = pd.to_numeric(table[column], errors="coerce")
        if not (finite := np.isfinite(numbers)).all():
            row = int(np.flatnonzero(~finite)[0])
            raise DataError(f"{file}, row {row + 1}: {column} is {table[column].iloc[row]}; write a finite number")
        table = table.assign(**{column: numbers})
    table = table.assign(**{column: table[column].astype(str) for column in KEYS[:2]})
    if (twice := table.duplicated(KEYS)).any():
        raise DataError(f"{file}: {_named(table[twice].iloc[0])} stands there twice; leave one out")
    grid = pd.MultiIndex.from_product([prompt_ids, range(num_seeds)], names=KEYS[1:])
    for predictor, rows in table.groupby("predictor"):
        if len(lacking := grid.difference(pd.MultiIndex.from_frame(rows[KEYS[1:]]))):
            prompt_id, seed = lacking[0]
            raise DataError(
                f"{file}: {predictor} has no value for seed {seed} of prompt {prompt_id}, and {len(lacking) - 1} more "
                "are missing; every noise of every prompt needs one"
            )
    return table.loc[pd.MultiIndex.from_frame(table[KEYS[1:]]).isin(grid), [*KEYS, *COLUMNS[2:]]]


def _read(file: Path) -> pd.DataFrame:
    if file.suffix not in (".csv", ".parquet"):
        raise DataError(f"stage.table={file}: a table of predictions ends in .csv or .parquet; convert it")
    try:
        # An id may have digits alone.
        return pd.read_csv(file, dtype={"prompt_id": str}) if file.suffix == ".csv" else pd.read_parquet(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise DataError(f"stage.table={file} cannot be read ({reason}); give a table in CSV or Parquet") from None


def _named(row: "pd.Series[Any]") -> str:
    return f"seed {row['seed']} of prompt {row['prompt_id']} of {row['predictor']}"
