from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from goldennoise.errors import DataError
from goldennoise.evaluation.given_predictions import read_predictions

IDS = ["0123456789012345", "ab"]
ROWS = [(prompt_id, seed, seed / 2, 3) for prompt_id in IDS for seed in range(2)]
TABLE = pd.DataFrame(ROWS, columns=["prompt_id", "seed", "value", "evaluations"])


def written(folder: Path, table: pd.DataFrame, suffix: str = ".csv") -> Path:
    file = folder / f"own{suffix}"
    table.to_csv(file, index=False) if suffix == ".csv" else table.to_parquet(file)
    return file


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_is_named_after_its_file_unless_it_names_predictors(tmp_path: Path, suffix: str) -> None:
    found = read_predictions(written(tmp_path, TABLE, suffix), IDS, 2)
    assert found["predictor"].unique() == ["own"]
    assert found["prompt_id"].tolist() == [row[0] for row in ROWS]
    assert found["value"].tolist() == [0, 0.5, 0, 0.5]
    others = pd.concat([TABLE, TABLE.assign(seed=[0.5, 1.5, 2, 3])])
    assert len(read_predictions(written(tmp_path, others, suffix), IDS, 2)) == 4
    both = pd.concat([TABLE.assign(predictor="a"), TABLE.assign(predictor="b")])
    assert set(read_predictions(written(tmp_path, both, suffix), IDS, 2)["predictor"]) == {"a", "b"}


MISTAKES: list[tuple[pd.DataFrame, str]] = [
    (TABLE.drop(columns="value"), r"own.csv has no column value; it needs prompt_id, seed, value, evaluations"),
    (TABLE.assign(value=["1", "2", "high", "4"]), r"own.csv, row 3: value is high; write a finite number"),
    (TABLE.assign(evaluations=[1, 2, float("inf"), 4]), r"row 3: evaluations is inf; write a finite number"),
    (TABLE.assign(seed=["0", "1", "0", ""]), r"row 4: seed is nan; write a finite number"),
    (pd.concat([TABLE, TABLE[:1]]), r"own.csv: seed 0 of prompt 0123456789012345 of own stands there twice"),
    (TABLE[:3], r"own.csv: own has no value for seed 1 of prompt ab, and 0 more are missing"),
]


@pytest.mark.parametrize(("table", "message"), MISTAKES)
def test_a_table_that_does_not_fit_is_refused_in_one_sentence(
    tmp_path: Path, table: pd.DataFrame, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_predictions(written(tmp_path, table), IDS, 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.txt", "x", r"a table of predictions ends in .csv or .parquet; convert it$"),
        ("own.parquet", "x", r"own.parquet cannot be read \(.*\); give a table in CSV or Parquet$"),
        ("own.csv", "", r"own.csv cannot be read \(No columns to parse from file\); give a table"),
        ("own.csv", 'a,b\n1,"2', r"own.csv cannot be read \(.*\); give a table"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: Any, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(tmp_path / name, IDS, 2)
    assert "\n" not in str(caught.value)
