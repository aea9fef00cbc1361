"""The scores of an evaluation, as its artifact holds them."""

from pathlib import Path

import numpy as np
import pandas as pd

from goldennoise.errors import ArtifactError, shortened
from goldennoise.evaluation.summary import Summary, read_summary
from goldennoise.generation.units import SCORE_COLUMNS, has_numbers, table_of
from goldennoise.store.artifacts import Artifact

CELL = ["prompt_id", "seed"]
_MEND = "run stage=eval again or restore the file"


def scores_table(scores: Artifact, summary: Summary) -> pd.DataFrame:
    """`scores.parquet`. Raises `ArtifactError` for a table of something else than the summary, or with a gap."""
    file = scores.path / "scores.parquet"
    table = table_of(file)
    if table is None or not _has_scores(table):
        found = "cannot be read" if table is None else "holds no scores"
        raise ArtifactError(f"{file} {found}: {_MEND}")
    for column, known in (("method", summary.methods), ("scorer", summary.scorers)):
        if {*table[column]} != {*known}:
            raise ArtifactError(f"{file} has other {column}s than summary.json: run stage=eval again or restore both")
    _refuse_gaps(file, table, summary)
    return table


def labelled_scores(scores: Artifact, label: str) -> pd.DataFrame:
    """The same table after columns that say what it was made with: artifact, model, num_steps, guidance, root_seed and
    prompt_set of all rows, and method_kind.

    label: what the column artifact holds. Raises `ArtifactError` for scores that are damaged or have a gap.
    """
    scores.check()
    summary = read_summary(scores.path / "summary.json")
    table = scores_table(scores, summary)[SCORE_COLUMNS]
    told = {"artifact": label, "model": summary.model["name"]}
    told |= {name: summary.model[name] for name in ("num_steps", "guidance")}
    told |= {"root_seed": scores.recorded("config", "seed", kind=int), "prompt_set": _prompt_set(scores)}
    for place, (name, value) in enumerate(told.items()):
        table.insert(place, name, value)
    kinds = {name: method.kind for name, method in summary.methods.items()}
    table.insert([*table].index("method") + 1, "method_kind", table["method"].map(kinds))
    return table


def _prompt_set(scores: Artifact) -> str:
    """For example "shapes benchmark" or "prompts.csv"."""
    prompts = scores.recorded("config", "prompts", kind=dict)
    path, category = prompts.get("path"), prompts.get("category")
    named = Path(path).name if prompts.get("kind") == "file" and path else f"shapes {prompts.get('split')}"
    return f"{named}, {category}" if category else named


def _has_scores(table: pd.DataFrame) -> bool:
    if table.empty or not {*SCORE_COLUMNS} <= {*table.columns} or not has_numbers(table, ["seed"]):
        return False
    texts = table[SCORE_COLUMNS].drop(columns=["seed", "score"])
    return table["score"].dtype.kind in "iuf" and bool(texts.map(lambda value: isinstance(value, str)).all(axis=None))


def _refuse_gaps(file: Path, table: pd.DataFrame, summary: Summary) -> None:
    """Raise `ArtifactError` unless every method has one score by every scorer for every prompt and seed."""
    twice = table[table.duplicated(["method", "scorer", *CELL])]
    if len(twice):
        raise ArtifactError(f"{file} has {_called(twice.iloc[0])} twice: {_MEND}")
    grid = table.pivot(index=CELL, columns=["method", "scorer"], values="score")
    grid = grid.reindex(columns=pd.MultiIndex.from_product([summary.methods, summary.scorers]))
    gaps = np.argwhere(~np.isfinite(grid.to_numpy()))
    if len(gaps):
        (prompt_id, seed), (method, scorer) = grid.index[gaps[0][0]], grid.columns[gaps[0][1]]
        row = table[(table["prompt_id"] == prompt_id) & (table["seed"] == seed)].iloc[0]
        further = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
        raise ArtifactError(f"{file} lacks {_called(row, method, scorer)}{further}: {_MEND}")
    if len(grid) != (wanted := summary.num_prompts * summary.num_seeds):
        raise ArtifactError(f"{file} has {len(grid)} prompts and seeds, and summary.json has {wanted}: {_MEND}")


def _called(row: pd.Series, method: str = "", scorer: str = "") -> str:
    """A score by name; method, scorer: others than those of the row."""
    by = f"{method or row['method']} by {scorer or row['scorer']}"
    return f'the score of {by} for "{shortened(row["prompt"])}" with seed {row["seed"]}'
