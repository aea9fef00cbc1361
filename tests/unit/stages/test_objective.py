"""The number of an artifact that a sweep goes by, and the page of a sweep."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from unit.generation import fakes
from unit.generation.fakes import Run, ShiftConfig

from goldennoise.config.benchmarks import benchmark_sets
from goldennoise.config.compose import load
from goldennoise.data.prompts import PromptsConfig, load_prompts
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.stages import eval as evaluation
from goldennoise.stages import sweep
from goldennoise.stages.objective import MEASURED_ON, measured, refuse_unfit_metric, refuse_unfit_space
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.record import read_json

METRIC = "brightness of shifted"
OWN = PromptsConfig(kind="file", path="own.txt")


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Evaluations of a method that brightens by 0.1, 0.3 and 0.2."""
    fakes.install(monkeypatch)
    stage = evaluation.Config(num_prompts=6, num_seeds=2, num_bootstrap=200, objective_metric=METRIC)
    base = Run(stage, str(tmp_path), {}, prompts=6)
    for amount in (0.1, 0.3, 0.2):
        evaluate(base, "s", amount)
    return base


def evaluate(base: Run, name: str, amount: float, prompts: PromptsConfig = OWN) -> None:
    """Prompts are in the record what they are of a run of the command line."""
    method = {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=amount)}
    file = evaluation.run(replace(base, name=name, method=method)).path / "record.json"
    record = read_json(file)
    record["config"]["prompts"] = asdict(prompts)
    file.write_text(json.dumps(record))


def page(base: Run, artifacts: str = "scores/s@*", metric: str | None = None) -> Artifact:
    return sweep.run(replace(base, name="s", stage=sweep.Config(artifacts=artifacts, metric=metric), scorer={}))


@pytest.mark.usefixtures("swept")
def test_the_reference_has_a_mean_and_others_a_difference(tmp_path: Path) -> None:
    scores = ArtifactStore(tmp_path).resolve("scores/s@v2", "scores")
    methods = read_json(scores.path / "summary.json")["methods"]
    assert measured(scores, METRIC) == methods["shifted"]["scorers"]["brightness"]["difference"] != 0
    assert measured(scores, "brightness of standard") == methods["standard"]["scorers"]["brightness"]["mean"]
    for missing in ("brightness of other", "other of shifted", "val_loss"):
        with pytest.raises(ArtifactError, match=rf"scores/s@v2 has no number {missing}: choose from .*{METRIC}"):
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


def test_a_tie_has_no_best(swept: Run, capsys: pytest.CaptureFixture[str]) -> None:
    table = (page(swept, metric="brightness of standard").path / "tables.md").read_text()
    assert table.count("**scores/s@v") == 3
    out = capsys.readouterr().out
    assert "Of 3 artifacts 3 have the best number: brightness of standard = " in out
    assert "Its options" not in out


def test_numbers_on_other_prompts_are_said_to_be_incomparable(swept: Run, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(replace(swept, stage=replace(swept.stage, num_seeds=1)), "s", 0.1)
    html = (page(swept).path / "index.html").read_text()
    told = f"They differ in stage.num_seeds, and so in what {METRIC} is measured on. So none is the best."
    out = capsys.readouterr().out
    for text in (html, out):
        assert told in text
        assert f"4 artifacts, whose {METRIC} cannot be compared" in text
    assert "is the best:" not in out
    assert "Its options" not in out


def test_options_that_decide_nothing_are_no_axis(swept: Run) -> None:
    evaluate(replace(swept, stage=replace(swept.stage, prompts_per_part=3)), "s", 0.5)
    html = (page(swept).path / "index.html").read_text()
    assert "prompts_per_part" not in html
    assert "method.shifted.amount" in html


@pytest.mark.parametrize(
    "prompts",
    [PromptsConfig(kind="shapes", split="benchmark"), PromptsConfig(kind="file", path="a.txt", benchmark=True)],
)
def test_a_benchmark_orders_nothing(swept: Run, prompts: PromptsConfig) -> None:
    for amount in (0.1, 0.2):
        evaluate(swept, "b", amount, prompts)
    with pytest.raises(ConfigError, match=r"scores/b@v1: its prompts are those of a benchmark \(.*\), and a benchmark"):
        page(swept, "scores/b@*")


def test_a_benchmark_in_a_file_of_ones_own_orders_nothing(swept: Run) -> None:
    for amount in (0.1, 0.2):
        evaluate(swept, "b", amount)
    table = ArtifactStore(swept.outputs).resolve("scores/b@v1", "scores").path / "scores.parquet"
    text = load_prompts(benchmark_sets()["geneval"], 1)[0].text.upper() + "."
    pd.read_parquet(table).assign(prompt=text).to_parquet(table)
    with pytest.raises(ConfigError, match=r"those of the benchmark geneval \(1 of them\)"):
        page(swept, "scores/b@*")


@pytest.mark.parametrize(("file", "content"), [("scores.parquet", b"no"), ("summary.json", b'{"methods": {}}')])
def test_damaged_scores_are_one_sentence(swept: Run, file: str, content: bytes) -> None:
    (ArtifactStore(swept.outputs).resolve("scores/s@v2", "scores").path / file).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"scores/s/v2/{file} "):
        page(swept)


@pytest.mark.parametrize(
    ("stage", "option"),
    [
        *(("train", option) for option in ("seed", "stage.pairs", "stage.validation_share")),
        *(("eval", option) for option in ("prompts", "prompts.path", "scorer.shapes_clip.weight")),
        ("distil", "stage.student_steps"),
    ],
)
def test_what_changes_the_measure_is_not_swept(stage: str, option: str) -> None:
    metrics = {"train": "val_loss", "distil": "val_error", "eval": "shapes_clip of npnet"}
    config = load([f"stage={stage}", "prompts=shapes_validation", f"stage.objective_metric={metrics[stage]}"])
    with pytest.raises(ConfigError, match=rf"^{option}: it changes what {metrics[stage]} is measured on"):
        refuse_unfit_space(config, ["stage.learning_rate", option])
    refuse_unfit_space(config, ["stage.learning_rate", "model.guidance", "promptly"])


def test_the_options_of_measures_are_there() -> None:
    for stage, parts in MEASURED_ON.items():
        config = load([f"stage={stage}"])
        for part in parts:
            owner = config.stage if part.startswith("stage.") else config
            assert hasattr(owner, part.removeprefix("stage.")), part


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
