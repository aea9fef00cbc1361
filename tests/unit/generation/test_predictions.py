from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from unit.generation.fakes import prompts

from goldennoise.generation.batch import grid
from goldennoise.generation.predictions import EVALUATIONS, PredictionPart

PART = PredictionPart(3, grid(prompts(2), 2), ["taste"])
ROWS = [(s.prompt.id, s.prompt.text, s.prompt.category, s.seed, 8.0, 0.5) for s in PART.samples]
TABLE = pd.DataFrame(ROWS, columns=["prompt_id", "prompt", "category", "seed", EVALUATIONS, "score_taste"])


def finished(folder: Path, table: pd.DataFrame) -> bool:
    PART.table_file(folder).parent.mkdir()
    table.to_parquet(PART.table_file(folder), index=False)
    return PART.is_finished(folder)


def test_a_part_is_finished_when_its_table_is_about_its_samples(tmp_path: Path) -> None:
    assert not PART.is_finished(tmp_path)
    assert finished(tmp_path, TABLE.assign(preview_1=1.0))


DAMAGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "other seeds": lambda table: table.assign(seed=table["seed"] + 1),
    "other prompts": lambda table: table.assign(prompt_id="x"),
    "another order": lambda table: table[::-1],
    "too few": lambda table: table[:-1],
    "no score": lambda table: table.drop(columns="score_taste"),
    "a score that is no number": lambda table: table.assign(score_taste=float("nan")),
    "no cost": lambda table: table.drop(columns=EVALUATIONS),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_about_other_samples_or_lacks_a_number_is_made_again(tmp_path: Path, damage: str) -> None:
    assert not finished(tmp_path, DAMAGES[damage](TABLE))
