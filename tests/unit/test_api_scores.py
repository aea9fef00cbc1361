"""`goldennoise.load_scores`: the scores of many evaluations as one table."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from unit.generation import fakes
from unit.generation.fakes import ModelConfig, Run, ScorerConfig, ShiftConfig
from unit.stages.test_report import resigned

import goldennoise
from goldennoise.data.prompts import PromptsConfig
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.stages import eval as evaluation
from goldennoise.store.artifacts import Artifact
from goldennoise.store.record import read_artifact

STAGE = evaluation.Config(num_prompts=3, num_seeds=2, num_bootstrap=100)
METHODS = {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=0.2)}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    fakes.install(monkeypatch)
    return Run(STAGE, str(tmp_path), METHODS)


def evaluated(run: Run, **prompts: object) -> Artifact:
    """prompts: what the record says of the prompt set."""
    scores = evaluation.run(run)
    record = json.loads((scores.path / "record.json").read_text())
    record["config"]["prompts"] = vars(PromptsConfig(**prompts))  # type: ignore[arg-type]
    (scores.path / "record.json").write_text(json.dumps(record))
    return read_artifact(scores.path)


@pytest.fixture
def three(base: Run) -> list[Artifact]:
    """Different grids, methods and scorers."""
    one = evaluated(replace(base, name="a"), split="benchmark")
    two = evaluated(replace(base, name="a", seed=1, stage=replace(STAGE, num_prompts=2)), split="validation")
    only_red = {"reddish": ScorerConfig("reddish")}
    model = ModelConfig(path="other", num_steps=3, guidance=4.5)
    alone = {"standard": ShiftConfig()}
    other = replace(base, name="b", model=model, method=alone, scorer=only_red)
    return [one, two, evaluated(other, kind="file", path="/data/words.csv", category="colour")]


def test_one_table_of_all_scores_says_what_each_was_made_with(base: Run, three: list[Artifact]) -> None:
    table = goldennoise.load_scores("scores/*", outputs=base.outputs)
    columns = ["artifact", "model", "num_steps", "guidance", "root_seed", "prompt_set", "prompt_id", "prompt"]
    assert list(table) == [*columns, "category", "seed", "method", "method_kind", "scorer", "score"]
    rows = table.groupby("artifact").size()
    assert dict(rows) == {"scores/a@v1": 3 * 2 * 2 * 2, "scores/a@v2": 2 * 2 * 2 * 2, "scores/b@v1": 3 * 2}
    told = table[columns[:6]].drop_duplicates().to_numpy().tolist()
    assert told == [
        ["scores/a@v1", "tiny-model", 2, 3.0, 0, "shapes benchmark"],
        ["scores/a@v2", "tiny-model", 2, 3.0, 1, "shapes validation"],
        ["scores/b@v1", "other", 3, 4.5, 0, "words.csv, colour"],
    ]
    assert set(table["method_kind"]) == {"shift"}
    own = pd.concat([pd.read_parquet(one.path / "scores.parquet") for one in three], ignore_index=True)
    pd.testing.assert_frame_equal(table[list(own)], own)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("scores/a", ["scores/a@v2"]),
        ("a@v1", ["scores/a@v1"]),
        ("scores/a@*", ["scores/a@v1", "scores/a@v2"]),
        ("scores/[ab]@latest", ["scores/a@v2", "scores/b@v1"]),
        ("scores/?@v1", ["scores/a@v1", "scores/b@v1"]),
        (["scores/b", "scores/a@v1", "scores/*@v1"], ["scores/b@v1", "scores/a@v1"]),
        (Path("scores/b/v1"), ["scores/b@v1"]),
    ],
)
def test_which_evaluations_are_meant(base: Run, three: list[Artifact], given: object, expected: list[str]) -> None:  # noqa: ARG001
    named = str(Path(base.outputs, given)) if isinstance(given, Path) else given
    table = goldennoise.load_scores(named, outputs=base.outputs)  # type: ignore[arg-type]
    assert list(table["artifact"].unique()) == expected
    assert not table.duplicated(["artifact", "prompt_id", "seed", "method", "scorer"]).any()


def test_a_folder_elsewhere_is_called_by_its_path(base: Run, three: list[Artifact], tmp_path: Path) -> None:
    elsewhere = three[0].path.rename(tmp_path / "mine")
    table = goldennoise.load_scores([elsewhere, "scores/b"], outputs=base.outputs)
    assert list(table["artifact"].unique()) == [str(elsewhere), "scores/b@v1"]


def test_an_unfinished_evaluation_is_left_out_of_a_pattern(base: Run, three: list[Artifact]) -> None:
    unfinished = three[0].path.rename(three[0].path.with_name("v1.partial"))
    (unfinished / "record.json").rename(unfinished / "draft.json")
    assert list(goldennoise.load_scores("a@*", outputs=base.outputs)["artifact"].unique()) == ["scores/a@v2"]


def without(query: str) -> Callable[[Path], object]:
    return lambda file: pd.read_parquet(file).query(f"not ({query})").to_parquet(file)


def infinite(file: Path) -> None:
    table = pd.read_parquet(file)
    table.loc[(table["method"] == "shifted") & (table["seed"] == 1), "score"] = float("nan")
    table.to_parquet(file)


def repeated(file: Path) -> None:
    table = pd.read_parquet(file)
    pd.concat([table, table.iloc[:1]]).to_parquet(file)


ONE = "method == 'shifted' and scorer == 'reddish' and seed == 1 and prompt == 'prompt number 2'"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            without(ONE),
            r'lacks the score of shifted by reddish for "prompt number 2" with seed 1: run stage=eval again',
        ),
        (without("method == 'shifted' and seed == 1"), r"lacks the score of shifted by \w+ for .* and 5 more: run"),
        (infinite, r"lacks the score of shifted by .* and 5 more: run"),
        (without("seed == 1"), r"has 3 prompts and seeds, and summary\.json has 6: run"),
        (repeated, r'has the score of standard by brightness for "prompt number 0" with seed 0 twice: run'),
    ],
)
def test_scores_with_a_gap_are_refused(base: Run, change: Callable[[Path], object], expected: str) -> None:
    scores = evaluated(replace(base, name="a"))
    resigned(scores, "scores.parquet", change)
    with pytest.raises(ArtifactError, match=rf"a/v1/scores\.parquet {expected}"):
        goldennoise.load_scores("scores/*", outputs=base.outputs)


def test_methods_with_other_prompts_are_refused_in_one_table(base: Run) -> None:
    def other_grid(file: Path) -> None:
        table = pd.read_parquet(file)
        mine = (table["method"] == "shifted") & (table["prompt"] == "prompt number 2")
        table.loc[mine, ["prompt", "prompt_id"]] = ["another prompt", "another"]
        table.to_parquet(file)

    resigned(evaluated(base), "scores.parquet", other_grid)
    with pytest.raises(
        ArtifactError, match=r"lacks the score of shifted by \w+ for \"prompt number 2\" with seed 0 and 7"
    ):
        goldennoise.load_scores("scores/*", outputs=base.outputs)


def test_a_damaged_evaluation_is_named(base: Run, three: list[Artifact]) -> None:
    (three[1].path / "scores.parquet").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"a/v2/scores\.parquet is damaged: its checksum"):
        goldennoise.load_scores("scores/*", outputs=base.outputs)
    (three[1].path / "record.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"a/v2/record\.json is damaged"):
        goldennoise.load_scores("scores/*", outputs=base.outputs)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("scores/c*", "^no scores artifact in .*scores is called scores/c\\*: there are a, b$"),
        ("scores/a@v[34]", r"is called scores/a@v\[34\]: there are a, b"),
        ("pairs/*", r"^pairs/\* is of kind pairs, and scores is needed here"),
        ("scores/c", "no scores artifact called c in"),
    ],
)
def test_no_such_evaluation(base: Run, three: list[Artifact], given: str, expected: str) -> None:  # noqa: ARG001
    with pytest.raises(ArtifactError, match=expected):
        goldennoise.load_scores(given, outputs=base.outputs)


def test_an_empty_folder_says_what_makes_scores(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is called scores/\*: make one with stage=eval$"):
        goldennoise.load_scores("scores/*", outputs=tmp_path)


@pytest.mark.parametrize("given", ["", [], 3, ["scores/a", 3], None])
def test_what_is_no_reference(given: object) -> None:
    with pytest.raises(ConfigError, match=r"^scores=.*: scores must be a reference such as"):
        goldennoise.load_scores(given)  # type: ignore[arg-type]
