"""The chapter on schedules: which methods belong to it, what is compared, and what it says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from unit.evaluation.report.summaries import NOTHING, summary

from goldennoise.errors import ArtifactError
from goldennoise.evaluation.report import schedules
from goldennoise.evaluation.report.schedule_scores import (
    Learned,
    Schedules,
    by_difficulty,
    fixed_name,
    schedules_of,
)
from goldennoise.evaluation.report.tables import Table, to_markdown
from goldennoise.evaluation.summary import Design, Result, Summary, method_results
from goldennoise.generation.noise import STATISTICS
from goldennoise.generation.units import LEVEL_COLUMNS, score_rows
from goldennoise.store.artifacts import Artifact

NUM_PROMPTS = 40
COSTS = {
    "adaptive": 10.0,
    "shared": 12.0,
    "shuffled": 10.0,
    "untrained": 46.0,
    "trailing_4": 8.0,
    "trailing_8": 16.0,
    "trailing_20": 40.0,
    "leading_8": 16.0,
    "standard": 40.0,
    "guidance_2": 40.0,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "adaptive": {"kind": "time_prediction", "artifact": "schedule/a@v1", "mode": "adaptive"},
    "shared": {"kind": "time_prediction", "artifact": "schedule/a@v1", "mode": "shared"},
    "shuffled": {"kind": "time_prediction", "artifact": "schedule/a@v1", "mode": "shuffled"},
    "untrained": {"kind": "time_prediction", "artifact": None, "mode": "adaptive"},
    **{
        f"trailing_{num}": {"kind": "fixed_schedule", "levels": None, "timesteps": None, "spacing": "trailing"}
        for num in (20, 4, 8)
    },
    "leading_8": {"kind": "fixed_schedule", "levels": None, "timesteps": [999, 0], "spacing": "uniform"},
    "standard": {"kind": "standard", "guidance": None},
    "guidance_2": {"kind": "standard", "guidance": 2.0},
}
RIGHT = {"adaptive": 0.6, "shared": 0.5, "shuffled": 0.6, "trailing_4": 0.1, "trailing_8": 0.5, "trailing_20": 0.6}
"""Share of right prompts, the first of the list; of the others 0.5."""


def scores() -> pd.DataFrame:
    rows = []
    for method in COSTS:
        for place in range(NUM_PROMPTS):
            right = float(place < NUM_PROMPTS * RIGHT.get(method, 0.5))
            rows.append((f"id{place:02d}", f"prompt {place}", "kind", 0, method, 31.0, right))
    columns = ["prompt_id", "prompt", "category", "seed", "method", "score_clip", "score_verifier"]
    return score_rows(pd.DataFrame(rows, columns=columns), ["clip", "verifier"])


def a_summary(reference: str = "shared") -> Summary:
    found = summary()
    one = found.methods["standard"]
    methods = {}
    for method, cost in COSTS.items():
        overall = replace(NOTHING, mean=RIGHT.get(method, 0.5))
        kind = CONFIGS[method]["kind"]
        right = Result(overall, {})
        methods[method] = replace(one, kind=kind, evaluations_per_image=cost, scorers=one.scorers | {"verifier": right})
    return replace(found, reference=reference, methods=methods, num_resamples=500)


def level_table() -> pd.DataFrame:
    rows = []
    for method in ("adaptive", "shared"):
        for place in range(NUM_PROMPTS):
            num = 4 + place % 3 if method == "adaptive" else 5
            rows.append((f"id{place:02d}", 0, method, [*np.linspace(1, 0.1, num), 0.0]))
    return pd.DataFrame(rows, columns=LEVEL_COLUMNS)


def artifact(folder: Path, levels: pd.DataFrame | None = None) -> Artifact:
    (level_table() if levels is None else levels).to_parquet(folder / "levels.parquet")
    return Artifact("scores", "a", "v1", folder, {"config": {"seed": 7}})


def schedule_in(folder: Path) -> Artifact:
    return Artifact("schedule", "a", "v1", folder, {"config": {"stage": {"reward_scorer": "clip"}}})


@pytest.fixture
def found(tmp_path: Path) -> Schedules:
    schedules_found = schedules_of(artifact(tmp_path), a_summary(), scores(), CONFIGS)
    assert schedules_found is not None
    return schedules_found


def cells(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for section in table.sections for row in section.rows]


def test_methods_that_change_the_schedule_alone_are_curves_by_cost(found: Schedules) -> None:
    assert found.fixed == {
        "trailing": ["trailing_4", "trailing_8", "trailing_20"],
        "leading": ["leading_8"],
        "the model's own": ["standard"],
    }
    assert [one.method for one in found.learned] == ["adaptive", "shared", "shuffled", "untrained"]


def test_an_adaptive_schedule_is_held_against_those_of_its_own_artifact(tmp_path: Path) -> None:
    other = {"kind": "time_prediction", "artifact": "schedule/b@v1", "mode": "shared"}
    found = schedules_of(artifact(tmp_path), a_summary(), scores(), CONFIGS | {"shared": other})
    assert found is not None
    controls = found.controls(Learned("adaptive", "adaptive", "schedule/a@v1"))
    assert [one.method for one in controls] == ["shuffled", "untrained"]
    assert [sentence.split()[0] for sentence in schedules.sentences(found)] == ["Levels", "The"]


@pytest.mark.parametrize(("levels", "name"), [("laplace", "laplace"), ({"kind": "cosine", "shift": 1.0}, "cosine")])
def test_a_density_goes_by_its_name(levels: Any, name: str) -> None:
    assert fixed_name("a", {"kind": "fixed_schedule", "levels": levels}) == name
    assert fixed_name("a", {"kind": "re_denoise"}) is None


def test_without_a_learned_schedule_there_is_no_chapter(tmp_path: Path) -> None:
    fixed = {name: config for name, config in CONFIGS.items() if config["kind"] != "time_prediction"}
    assert schedules_of(Artifact("scores", "a", "v1", tmp_path, {}), a_summary(), scores(), fixed) is None


def test_a_fixed_schedule_is_read_between_its_steps_image_by_image(found: Schedules) -> None:
    at_12 = found.at("trailing", 12.0)
    assert at_12 is not None
    between = (found.scores["trailing_4"] + found.scores["trailing_8"]) / 2
    assert at_12.tolist() == between.tolist()
    assert found.at("trailing", 40.0).tolist() == found.scores["trailing_20"].tolist()  # type: ignore[union-attr]
    assert found.at("trailing", 8.0).tolist() == found.scores["trailing_4"].tolist()  # type: ignore[union-attr]
    assert found.at("trailing", 7.9) is None
    assert found.at("trailing", 40.1) is None


def test_what_the_levels_are_worth(found: Schedules) -> None:
    rows = {(row[0], row[1]): row[2:] for row in cells(schedules.worth_table(found))}
    assert [*rows] == [
        ("adaptive", "shared"),
        ("adaptive", "shuffled"),
        ("adaptive", "untrained"),
        ("adaptive", "trailing"),
        ("shared", "trailing"),
    ]
    assert rows["adaptive", "shared"][0] == "10 and 12"
    assert rows["adaptive", "shared"][1].startswith("+10.0 [+")
    assert rows["adaptive", "shuffled"][1] == "0.0 [0.0, 0.0]"
    # 60 % against a quarter of the way from 10 to 50 %, 50 % against half of it.
    assert rows["adaptive", "trailing"] == ["10", rows["adaptive", "trailing"][1]]
    assert rows["adaptive", "trailing"][1].startswith("+40.0 [")
    assert rows["shared", "trailing"][1].startswith("+20.0 [")


def test_the_sentences_claim_what_the_intervals_allow(found: Schedules) -> None:
    first, second, third = schedules.sentences(found)
    assert first.startswith("Levels chosen for each image (adaptive) change verifier by +10.0 points [+")
    assert first.endswith("against the same levels for every image (shared), at 10 and 12 evaluations.")
    assert second == (
        "Levels chosen for each image (adaptive) change verifier by 0.0 points [0.0, 0.0] against levels chosen for "
        "other prompts (shuffled), at 10 and 10 evaluations; no difference is shown."
    )
    assert third.startswith("The mean levels (shared) at their 12 evaluations, points: +20.0 [+")
    assert third.endswith("] beside trailing.")  # the others have no two numbers of steps around it


def test_the_fewest_evaluations_within_the_margin_of_the_longest(found: Schedules) -> None:
    table = schedules.fewest_table(found)
    assert table.caption == "Fewest evaluations within 3.0 points of trailing_20"
    rows = {row[0]: row[1:] for row in cells(table)}
    assert rows["trailing"] == ["40", "40"]
    assert rows["adaptive"] == ["10", "10"]
    assert rows["shared"] == ["–", "–"]


def test_a_mean_within_the_margin_may_have_an_interval_that_is_not(tmp_path: Path) -> None:
    table = scores()
    rows = (table["method"] == "adaptive") & (table["scorer"] == "verifier") & (table["prompt_id"] == "id00")
    table.loc[rows, "score"] = 0.0  # 2.5 points below
    changed = schedules_of(artifact(tmp_path), a_summary(), table, CONFIGS)
    assert changed is not None
    rows_of = {row[0]: row[1:] for row in cells(schedules.fewest_table(changed))}
    assert rows_of["adaptive"] == ["10", "–"]


def test_without_a_fixed_schedule_nothing_is_as_good_as_one(tmp_path: Path) -> None:
    (tmp_path / "progress.parquet").write_bytes(b"")
    learned = {name: config for name, config in CONFIGS.items() if config["kind"] == "time_prediction"}
    found = schedules_of(artifact(tmp_path), a_summary(), scores(), learned)
    assert found is not None
    assert [table.caption for table in schedules.chapter(found, []).tables] == ["What the levels are worth"]


def test_intervals_are_those_of_the_summary(found: Schedules) -> None:
    """The same prompts are drawn for the chapter and for the table of results."""
    rows = scores()
    wide = rows.pivot_table(
        index=["prompt_id", "prompt", "category", "seed", "method"], columns="scorer", values="score"
    )
    table = (
        wide.add_prefix("score_")
        .reset_index()
        .assign(num_evaluations=1.0, seconds=1.0, peak_memory_bytes=1, **{f"noise_{name}": 1.0 for name in STATISTICS})
    )
    table["thumbnail"] = [np.ones(3)] * len(table)
    kinds = dict.fromkeys(COSTS, "standard")
    results = method_results(table, {"verifier": True}, None, Design(kinds, "shared", 500, 7))
    ours = found.compared("adaptive", found.scores["shared"])
    theirs = results["adaptive"].scorers["verifier"].overall
    assert (ours.low, ours.high, ours.difference) == pytest.approx((theirs.low, theirs.high, theirs.difference))


def test_easy_and_hard_are_the_references_quarters(found: Schedules) -> None:
    easy, hard = by_difficulty(found)
    assert len(easy) == len(hard) == 10
    right = found.scores["shared"].groupby("prompt_id").mean()
    assert right[easy].min() == 1
    assert right[hard].max() == 0


def test_the_chapter_has_its_figures_and_is_the_same_each_time(found: Schedules, tmp_path: Path) -> None:
    progress = pd.DataFrame({"update": [1, 2], "score": [1.0, 2.0], "num_steps": [9.0, 7.0]})
    progress.to_parquet(tmp_path / "progress.parquet")
    trained = schedule_in(tmp_path)
    chapter = schedules.chapter(found, [trained])
    titles = [figure.title for figure in chapter.figures]
    assert titles == [
        "Quality against evaluations, by schedule",
        "The levels that adaptive chose",
        "Training of schedule/a@v1",
    ]
    assert "how many steps the images took, 5.0 in the mean." in chapter.figures[1].caption
    assert "in the first ten updates 8.0 steps and a mean clip of 1.5" in chapter.figures[2].caption
    assert [figure.svg for figure in schedules.chapter(found, [trained]).figures] == [
        figure.svg for figure in chapter.figures
    ]
    assert all("%" in to_markdown(table) or "Evaluations" in to_markdown(table) for table in chapter.tables)


@pytest.mark.parametrize(
    "levels",
    [
        pd.DataFrame({"method": ["adaptive"]}),
        level_table().assign(levels=[[1.0, 0.5]] * (2 * NUM_PROMPTS)),
        level_table().assign(levels=[[0.5, 0.7, 0.0]] * (2 * NUM_PROMPTS)),
        level_table().assign(levels=["a"] * (2 * NUM_PROMPTS)),
    ],
)
def test_levels_that_are_none_are_named(tmp_path: Path, levels: pd.DataFrame) -> None:
    with pytest.raises(ArtifactError, match=r"levels\.parquet holds no noise levels: run stage=eval again"):
        schedules_of(artifact(tmp_path, levels), a_summary(), scores(), CONFIGS)


def test_a_progress_that_is_none_is_named(found: Schedules, tmp_path: Path) -> None:
    (tmp_path / "progress.parquet").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"progress\.parquet is no progress of a training"):
        schedules.chapter(found, [schedule_in(tmp_path)])
