"""The number of an artifact that a sweep goes by, and the page of a sweep."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from unit.generation import fakes
from unit.generation.fakes import Run, ShiftConfig

from goldennoise.config.benchmarks import benchmark_sets
from goldennoise.config.compose import load
from goldennoise.data.prompts import load_prompts
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.stages import eval as evaluation
from goldennoise.stages import sweep
from goldennoise.stages.objective import measured, refuse_unfit_metric
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.record import read_json

METRIC = "brightness of shifted"


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Evaluations of a method that brightens by 0.1, 0.3 and 0.2."""
    fakes.install(monkeypatch)
    stage = evaluation.Config(num_prompts=6, num_seeds=2, num_bootstrap=200, objective_metric=METRIC)
    base = Run(stage, str(tmp_path), {}, prompts=6)
    for amount in (0.1, 0.3, 0.2):
        evaluation.run(
            replace(base, name="s", method={"standard": ShiftConfig(), "shifted": ShiftConfig(amount=amount)})
        )
    return base


def page(base: Run, artifacts: str = "scores/s@*", metric: str | None = None) -> Artifact:
    return sweep.run(replace(base, name="s", stage=sweep.Config(artifacts=artifacts, metric=metric), scorer={}))


@pytest.mark.usefixtures("swept")
def test_the_reference_has_a_mean_and_others_a_difference(tmp_path: Path) -> None:
    scores = ArtifactStore(tmp_path).resolve("scores/s@v2", "scores")
    methods = read_json(scores.path / "summary.json")["methods"]
    assert measured(scores, METRIC) == methods["shifted"]["scorers"]["brightness"]["difference"] != 0
    assert measured(scores, "brightness of standard") == methods["standard"]["scorers"]["brightness"]["mean"]
    for missing in ("brightness of other", "other of shifted", "val_loss"):
        with pytest.raises(ArtifactError, match=rf"scores/s@v2 has no number {missing}"):
            measured(scores, missing)


def test_the_metric_is_no_part_of_the_fingerprint(swept: Run) -> None:
    method = {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=0.3)}
    stage = replace(swept.stage, objective_metric=None)
    assert evaluation.run(replace(swept, name="s", method=method, stage=stage)).reference == "scores/s@v2"


def test_the_page_has_the_best_first_with_its_options(swept: Run, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = page(swept)
    html, table = (artifact.path / "index.html").read_text(), (artifact.path / "tables.md").read_text()
    places = [table.index(f"scores/s@{version}") for version in ("v1", "v3", "v2")]
    assert places == sorted(places)
    assert "Of 3 artifacts scores/s@v1 is the best: brightness of shifted = " in html
    assert "Its options: method.shifted.amount=0.1" in capsys.readouterr().out
    assert html.count('id="parallel-coordinates-line2d_') >= 3
    assert [each["reference"] for each in artifact.record["inputs"]] == [f"scores/s@v{number}" for number in (1, 2, 3)]
    assert page(swept).path == artifact.path
    assert page(swept, metric="brightness of standard").path.name == "v2"


def test_the_scorer_says_which_end_is_the_best(swept: Run) -> None:
    for metric, order in ((METRIC, "lowest"), ("reddish of shifted", "highest")):
        assert f"The {order} {metric} stands first" in (page(swept, metric=metric).path / "index.html").read_text()


@pytest.mark.parametrize(
    ("artifacts", "metric", "words"),
    [
        ("scores/s@v1", None, "it means scores/s@v1 alone, and a sweep has at least two"),
        ("pairs/s@*", None, r"artifacts must be those of a kind that has a number: npnet/NAME@\* \(stage=train\)"),
        ("scores/s@*", "val_loss", "scores/s@v1 has no number val_loss"),
        ("scores/t@*", None, "no scores artifact in .* is called t@|called scores/t"),
    ],
)
def test_what_is_no_sweep_is_refused(swept: Run, artifacts: str, metric: str | None, words: str) -> None:
    with pytest.raises((ConfigError, ArtifactError), match=words):
        page(swept, artifacts, metric)


def test_scores_without_a_chosen_number_need_a_metric(swept: Run, tmp_path: Path) -> None:
    record = read_json(tmp_path / "scores/s/v1/record.json")
    record["config"]["stage"]["objective_metric"] = None
    (tmp_path / "scores/s/v1/record.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"stage\.metric=null: scores/s@v1 has no stage\.objective_metric"):
        page(swept)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["stage=train", "stage.objective_metric=val_los"],
            "stage=train gives no such number; choose from val_loss; did",
        ),
        (
            ["stage=distil", "stage.objective_metric=val_loss"],
            "stage=distil gives no such number; choose from val_error",
        ),
        (["stage=eval", "stage.objective_metric=shapes_clip of npnet"], r"a benchmark \(prompts=shapes_benchmark\)"),
        (
            ["stage=eval", "prompts=shapes_validation", "stage.objective_metric=shapes_clip of npne"],
            "did you mean shapes_clip of npnet",
        ),
    ],
)
def test_a_number_that_will_not_be_there_or_is_of_a_benchmark_is_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        refuse_unfit_metric(load(overrides))


def test_prompts_of_a_benchmark_in_a_file_of_ones_own_are_refused(tmp_path: Path) -> None:
    texts = [prompt.text for prompt in load_prompts(benchmark_sets()["geneval"], 2)]
    (tmp_path / "own.txt").write_text("\n".join(["a cat of mine", *texts]))
    path, metric = f"prompts.path={tmp_path / 'own.txt'}", "stage.objective_metric=shapes_clip of npnet"
    chosen = ["stage=eval", "prompts=file", path, metric]
    with pytest.raises(ConfigError, match=r"the benchmark geneval \(2 of them\)"):
        refuse_unfit_metric(load(chosen))
    refuse_unfit_metric(load([*chosen, "stage.num_prompts=1"]))


def test_numbers_that_fit_are_allowed() -> None:
    for overrides in (["stage=train", "stage.objective_metric=val_loss"], ["stage=collect"], ["stage=eval"]):
        refuse_unfit_metric(load(overrides))
    refuse_unfit_metric(
        load(["stage=eval", "prompts=shapes_validation", "stage.objective_metric=shapes_verifier of standard"])
    )
