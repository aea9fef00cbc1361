import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from unit.generation import fakes
from unit.generation.fakes import NetworkConfig, Run, ShiftConfig

from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.stages import eval as evaluation
from goldennoise.stages.report import Config, run
from goldennoise.store.artifacts import Artifact
from goldennoise.store.files import file_digest
from goldennoise.store.record import read_artifact

EVALUATION = evaluation.Config(num_prompts=6, num_seeds=2, num_bootstrap=200, prompts_per_part=4)


@pytest.fixture
def scores_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    fakes.install(monkeypatch)
    return Run(EVALUATION, str(tmp_path), {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=0.2)})


def report_on(scores: Artifact, config: Run, num_examples: int = 4) -> Artifact:
    stage = Config(scores=scores.reference, num_examples=num_examples)
    return run(replace(config, stage=stage, method={}, scorer={}))


def test_the_page_stands_alone_and_shows_everything(scores_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    fakes.make_network(Path(scores_run.outputs), preference="brightness")
    config = replace(scores_run, method=scores_run.method | {"net": NetworkConfig()})
    report = report_on(evaluation.run(config), config)
    html = (report.path / "index.html").read_text()
    assert not re.findall(r"https?:|@import|<script |<link|\burl\((?!#)", html)
    assert "default-src 'none'" in html
    assert {uri[:22] for uri in re.findall(r'src="([^"]*)"', html)} == {"data:image/png;base64,"}
    assert html.count("<svg") == 3
    assert html.count("<img") == 4 * 3
    assert len(re.findall(r'<img [^>]*alt="[^"]+"', html)) == 4 * 3
    for heading in ("Quality against cost", "By kind of prompt", "Training of npnet/net@v1", "Examples"):
        assert heading in html
    assert "selecting" in html
    assert "reporting only" in html
    assert str(report.path / "index.html") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reward_scorer", "loss"),
    [(None, "Mean squared error to the golden noise"), ("reddish", "minus the weighted score of the image")],
)
def test_the_curve_says_what_was_trained_for(scores_run: Run, reward_scorer: str | None, loss: str) -> None:
    fakes.make_network(Path(scores_run.outputs), reward_scorer=reward_scorer)
    config = replace(scores_run, method=scores_run.method | {"net": NetworkConfig()})
    assert loss in (report_on(evaluation.run(config), config).path / "index.html").read_text()


def test_scores_without_a_network_have_a_report_without_a_training_curve(scores_run: Run) -> None:
    report = report_on(evaluation.run(scores_run), scores_run)
    html = (report.path / "index.html").read_text()
    assert html.count("<svg") == 2
    assert "Training of" not in html


def test_a_network_that_is_gone_is_said_to_be(scores_run: Run) -> None:
    outputs = Path(scores_run.outputs)
    fakes.make_network(outputs)
    config = replace(scores_run, method=scores_run.method | {"net": NetworkConfig()})
    scores = evaluation.run(config)
    (outputs / "npnet").rename(outputs / "gone")
    html = (report_on(scores, config).path / "index.html").read_text()
    assert "the training curve of npnet/net@v1" in html
    assert html.count("<svg") == 2


def test_a_second_report_is_a_no_op(scores_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    scores = evaluation.run(scores_run)
    first = report_on(scores, scores_run)
    assert report_on(scores, scores_run).path == first.path
    assert "report/test@v1 is complete" in capsys.readouterr().out
    assert report_on(scores, scores_run, num_examples=2).version == "v2"


def test_a_network_that_was_not_trained_here_has_no_curve_and_unknown_roles(scores_run: Run) -> None:
    fakes.make_imported_network(Path(scores_run.outputs))
    config = replace(scores_run, method=scores_run.method | {"net": NetworkConfig()})
    html = (report_on(evaluation.run(config), config).path / "index.html").read_text()
    assert "Training of" not in html
    assert "npnet/net@v1, fingerprint" in html
    assert "version 1, unknown" in html


def test_a_damaged_report_is_written_again(scores_run: Run) -> None:
    scores = evaluation.run(scores_run)
    page = report_on(scores, scores_run).path / "index.html"
    page.write_text("damaged")
    assert report_on(scores, scores_run).path == page.parent
    assert "<svg" in page.read_text()


def test_damaged_scores_are_refused(scores_run: Run) -> None:
    scores = evaluation.run(scores_run)
    (scores.path / "summary.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"summary\.json is damaged"):
        report_on(scores, scores_run)


def test_scores_that_are_missing_are_refused(scores_run: Run) -> None:
    stage = Config(scores="scores/nothing@latest")
    with pytest.raises(ArtifactError, match="no scores artifact called nothing"):
        run(replace(scores_run, stage=stage))


@pytest.mark.parametrize(("option", "value"), [("scores", ""), ("num_examples", 0)])
def test_options_out_of_range(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{option}="):
        Config(**{option: value})  # type: ignore[arg-type]


def resigned(artifact: Artifact, name: str, change: Callable[[Path], object]) -> None:
    """Change a file of an artifact, and its checksum with it."""
    change(artifact.path / name)
    record = json.loads((artifact.path / "record.json").read_text())
    record["files"][name] = file_digest(artifact.path / name)
    (artifact.path / "record.json").write_text(json.dumps(record))


def table_without(column: str) -> Callable[[Path], object]:
    return lambda file: pd.read_parquet(file).drop(columns=column).to_parquet(file)


def table_with(column: str, value: object) -> Callable[[Path], object]:
    def change(file: Path) -> None:
        table = pd.read_parquet(file)
        table[column] = [value] * len(table)
        table.to_parquet(file)

    return change


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("summary.json", lambda file: file.write_text("{}"), "summary.json is no summary: methods is missing"),
        ("scores.parquet", table_without("score"), "scores.parquet holds no scores"),
        ("scores.parquet", lambda file: pd.read_parquet(file).iloc[:0].to_parquet(file), "holds no scores"),
        ("scores.parquet", table_with("score", "x"), "holds no scores"),
        ("scores.parquet", table_with("score", None), "holds no scores"),
        ("scores.parquet", table_with("seed", None), "holds no scores"),
        ("scores.parquet", table_with("method", [1, 2]), "holds no scores"),
        ("scores.parquet", table_with("prompt", b"x"), "holds no scores"),
        ("scores.parquet", lambda file: file.write_bytes(b"junk"), "scores.parquet cannot be read"),
        (
            "scores.parquet",
            lambda file: pd.read_parquet(file).query("method == 'standard'").to_parquet(file),
            "scores.parquet has other methods than summary.json",
        ),
    ],
)
def test_scores_with_right_checksums_and_wrong_content_are_refused(
    scores_run: Run, name: str, change: Callable[[Path], object], expected: str
) -> None:
    scores = evaluation.run(scores_run)
    resigned(scores, name, change)
    with pytest.raises(ArtifactError, match=expected):
        report_on(scores, scores_run)


def test_an_image_that_no_record_misses_is_missed_by_the_page(scores_run: Run) -> None:
    scores = evaluation.run(scores_run)
    record = json.loads((scores.path / "record.json").read_text())
    record["files"] = {name: digest for name, digest in record["files"].items() if not name.endswith(".png")}
    (scores.path / "record.json").write_text(json.dumps(record))
    for image in scores.path.rglob("*.png"):
        image.unlink()
    with pytest.raises(ArtifactError, match=r"png is missing: run stage=eval again"):
        report_on(scores, scores_run)


@pytest.mark.parametrize("content", ["", "epoch,train_loss\n1,2\n", "epoch,train_loss,val_loss\n1,a,b\n"])
def test_a_history_of_another_kind_is_refused(scores_run: Run, content: str) -> None:
    fakes.make_network(Path(scores_run.outputs), preference="brightness")
    config = replace(scores_run, method=scores_run.method | {"net": NetworkConfig()})
    scores = evaluation.run(config)
    network = read_artifact(Path(scores_run.outputs) / "npnet" / "net" / "v1")
    resigned(network, "training.csv", lambda file: file.write_text(content))
    with pytest.raises(ArtifactError, match=r"training\.csv is no history of a training"):
        report_on(scores, config)


def test_a_loss_of_another_type_is_refused(scores_run: Run) -> None:
    fakes.make_network(Path(scores_run.outputs), preference="brightness")
    config = replace(scores_run, method=scores_run.method | {"net": NetworkConfig()})
    scores = evaluation.run(config)
    path = Path(scores_run.outputs) / "npnet/net/v1/record.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"counts": {"identity_val_loss": "x"}}))
    with pytest.raises(ArtifactError, match=r"record\.json is damaged: counts\.identity_val_loss is of another type"):
        report_on(scores, config)


def test_published_settings_are_chosen_by_name(scores_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    scores = evaluation.run(scores_run)
    config = replace(scores_run, method={}, scorer={})
    without = run(replace(config, stage=Config(scores=scores.reference)))
    assert "Published numbers" not in (without.path / "tables.md").read_text()
    chosen = run(replace(config, stage=Config(scores=scores.reference, published=("golden_noise/sdxl_drawbench",))))
    assert chosen.path != without.path
    assert "SDXL, DrawBench" in (chosen.path / "index.html").read_text()
    assert "70.67 (+8.46)" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"stage\.published=golden_noise/sdxl: there is no such setting"):
        run(replace(config, stage=Config(scores=scores.reference, published=("golden_noise/sdxl",))))
    assert not [*chosen.path.parent.glob("*.partial")], "refused before there is a draft"
