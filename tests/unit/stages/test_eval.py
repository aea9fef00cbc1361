import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from tiny import TinyModel
from unit.generation import fakes
from unit.generation.fakes import (
    ChoosingConfig,
    Compute,
    ModelConfig,
    NetworkConfig,
    Run,
    SameConfig,
    ScorerConfig,
    ShiftConfig,
)

from goldennoise import scorers
from goldennoise.errors import ArtifactError, ConfigError, ModelError
from goldennoise.stages.eval import Config, run
from goldennoise.store.artifacts import Artifact, ArtifactStore

METHODS = {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=0.2)}
STAGE = Config(num_prompts=5, num_seeds=2, num_bootstrap=200, prompts_per_part=2)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[TinyModel]:
    return fakes.install(monkeypatch)


def a_run(outputs: Path, **changes: Any) -> Run:
    return replace(Run(STAGE, str(outputs), METHODS), **changes)


def test_scores_have_a_row_per_prompt_seed_method_and_scorer(
    tmp_path: Path, models: list[TinyModel], capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = run(a_run(tmp_path))
    rows = pd.read_parquet(artifact.path / "scores.parquet")
    keys = ["prompt_id", "seed", "method", "scorer"]
    assert list(rows.columns) == ["prompt_id", "prompt", "category", "seed", "method", "scorer", "score"]
    assert len(rows) == 5 * 2 * 2 * 2
    assert not rows.duplicated(keys).any()
    assert len(list(artifact.path.glob("images/*/*.png"))) == 5 * 2 * 2
    assert len(models) == 1
    assert "difference to standard [95 % interval]" in capsys.readouterr().out


@pytest.mark.usefixtures("models")
def test_a_model_with_a_lora_is_reported_by_both_names(tmp_path: Path) -> None:
    artifact = run(a_run(tmp_path, model=ModelConfig(lora="mine/style")))
    summary = json.loads((artifact.path / "summary.json").read_text())
    assert summary["model"]["name"] == "tiny-model with mine/style"


@pytest.mark.usefixtures("models")
def test_the_protocol_is_written_down_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = a_run(tmp_path, seed=7)
    run(replace(config, stage=replace(config.stage, num_prompts=4, num_seeds=2)))
    run(replace(config, stage=replace(config.stage, num_prompts=4, num_seeds=1)))
    set_and_model = "Protocol: 4 of 6 prompts of a set of 6; {}; tiny-model by ddim, 2 steps, guidance 3."
    printed = capsys.readouterr().out
    assert set_and_model.format("seeds 0 to 1 of root seed 7") in printed
    assert set_and_model.format("seed 0 of root seed 7") in printed
    assert "Scorers: brightness (version 1), reddish (version 2)." in printed


def test_the_summary_agrees_with_the_scores(tmp_path: Path, models: list[TinyModel]) -> None:  # noqa: ARG001
    artifact = run(a_run(tmp_path))
    rows = pd.read_parquet(artifact.path / "scores.parquet")
    summary = json.loads((artifact.path / "summary.json").read_text())
    wide = rows[rows["scorer"] == "brightness"].pivot(index=["prompt_id", "seed"], columns="method", values="score")
    found = summary["methods"]["shifted"]["scorers"]["brightness"]
    difference = wide["shifted"] - wide["standard"]
    assert found["mean"] == pytest.approx(wide["shifted"].mean())
    assert found["difference"] == pytest.approx(difference.mean())
    assert found["low"] is found["high"] is None  # of five prompts
    # Lower is better for this scorer.
    assert found["wins"] == pytest.approx((difference < 0).mean())
    assert (found["num_prompts"], found["num_samples"]) == (5, 10)
    assert set(found["categories"]) == set(fakes.KINDS)
    assert summary["reference"] == "standard"
    assert summary["methods"]["shifted"]["evaluations_per_image"] == 2 * 2
    assert summary["scorers"]["reddish"] == {
        "higher_is_better": True,
        "unit": "share right",
        "version": "2",
        "role": "reporting",
        "deviation": pytest.approx(
            rows[(rows["scorer"] == "reddish") & (rows["method"] == "standard")]["score"].std(ddof=0)
        ),
        "usual": None,
        "num_tokens": None,
        "prompts_cut": None,
    }
    assert list(summary["methods"]["shifted"]["diversity"]) == ["thumbnails"]
    gap = (
        summary["methods"]["shifted"]["noise"]["mean"]["mean"] - summary["methods"]["standard"]["noise"]["mean"]["mean"]
    )
    assert gap == pytest.approx(0.2, abs=1e-6)


def test_a_second_run_is_a_no_op(tmp_path: Path, models: list[TinyModel], capsys: pytest.CaptureFixture[str]) -> None:
    first = run(a_run(tmp_path))
    second = run(a_run(tmp_path, compute=Compute(batch_size=1)))
    assert second.path == first.path
    assert len(models) == 1
    assert "scores/test@v1 is complete." in capsys.readouterr().out


def test_where_a_scorer_runs_decides_nothing(tmp_path: Path, models: list[TinyModel]) -> None:
    once = run(a_run(tmp_path))
    elsewhere = {name: ScorerConfig(name, place="there") for name in fakes.SCORERS}
    assert run(a_run(tmp_path, scorer=elsewhere)).reference == once.reference
    assert len(models) == 1


def test_a_killed_run_goes_on_and_repeats_no_finished_part(
    tmp_path: Path, models: list[TinyModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_run = run(a_run(tmp_path / "whole"))
    calls = 0
    score = fakes.Reddish.score

    def stopping(self: fakes.Reddish, *inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return score(self, *inputs)

    monkeypatch.setattr(fakes.Reddish, "score", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(a_run(tmp_path / "killed"))
    assert not (tmp_path / "killed/scores/test/v1").exists()
    finished = sorted((tmp_path / "killed/scores/test/v1.partial/parts").iterdir())
    assert [file.name for file in finished] == [
        "shifted-00000.parquet",
        "standard-00000.parquet",
        "standard-00001.parquet",
    ]
    times = [file.stat().st_mtime_ns for file in finished]
    resumed = run(a_run(tmp_path / "killed"))
    # Part 1 of shifted, and part 2 of both: 4 + 2 + 2 images, after the short pass that warms up.
    assert models[-1].num_evaluations == 4 * 2 + 8 * 4
    assert [(resumed.path / "parts" / file.name).stat().st_mtime_ns for file in finished] == times
    once, in_two = (pd.read_parquet(artifact.path / "scores.parquet") for artifact in (whole_run, resumed))
    pd.testing.assert_frame_equal(in_two, once)


def test_a_damaged_artifact_is_repaired(tmp_path: Path, models: list[TinyModel]) -> None:
    artifact = run(a_run(tmp_path))
    image = next((artifact.path / "images/shifted").iterdir())
    content = image.read_bytes()
    image.write_bytes(b"broken")
    repaired = run(a_run(tmp_path))
    assert repaired.reference == artifact.reference
    assert image.read_bytes() == content
    assert len(models) == 2
    assert models[-1].num_evaluations <= 4 * 2 + 4 * 4


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"prompts": 6, "stage": replace(STAGE, num_prompts=6)},
        {"model": ModelConfig(num_steps=3)},
        {"method": METHODS | {"shifted": ShiftConfig(amount=0.3)}},
        {"method": {"standard": ShiftConfig(), "renamed": ShiftConfig(amount=0.2)}},
    ],
)
@pytest.mark.usefixtures("models")
def test_what_decides_the_scores_makes_another_version(tmp_path: Path, change: dict[str, Any]) -> None:
    assert run(a_run(tmp_path)).version == "v1"
    assert run(a_run(tmp_path, **change)).version == "v2"


@pytest.mark.usefixtures("models")
def test_a_complete_run_builds_no_scorer_and_knows_one_whose_files_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = run(a_run(tmp_path))
    gone = SimpleNamespace(version=lambda _: None, build=lambda *_: pytest.fail("no scorer is built"))
    monkeypatch.setattr(scorers, "component", lambda _: gone)
    assert run(a_run(tmp_path)).path == complete.path
    with pytest.raises(pytest.fail.Exception, match="no scorer is built"):
        run(a_run(tmp_path, seed=1))


@pytest.mark.usefixtures("models")
def test_the_size_of_a_part_decides_nothing(tmp_path: Path) -> None:
    first = run(a_run(tmp_path))
    assert run(a_run(tmp_path, stage=replace(STAGE, prompts_per_part=1))).path == first.path


def roles_of(scores: Artifact) -> dict[str, str]:
    scorers = json.loads((scores.path / "summary.json").read_text())["scorers"]
    return {name: info["role"] for name, info in scorers.items()}


@pytest.mark.usefixtures("models")
def test_a_scorer_that_a_network_learnt_to_ascend_is_selecting(tmp_path: Path) -> None:
    fakes.make_network(tmp_path, preference="brightness", reward_scorer="reddish")
    artifact = run(a_run(tmp_path, method={"standard": ShiftConfig(), "net": NetworkConfig()}))
    assert roles_of(artifact) == {"brightness": "selecting", "reddish": "selecting"}


@pytest.mark.usefixtures("models")
def test_the_roles_of_scorers(tmp_path: Path) -> None:
    fakes.make_network(tmp_path, preference="reddish")

    def roles(outputs: Path, **methods: Any) -> dict[str, str]:
        return roles_of(run(a_run(outputs, method={"standard": ShiftConfig()} | methods)))

    assert roles(tmp_path, chosen=ChoosingConfig()) == {"brightness": "selecting", "reddish": "reporting"}
    assert roles(tmp_path, net=NetworkConfig()) == {"brightness": "reporting", "reddish": "selecting"}
    both = roles(tmp_path, net=NetworkConfig(), chosen=ChoosingConfig())
    assert both == {"brightness": "selecting", "reddish": "selecting"}
    (tmp_path / "pairs").rename(tmp_path / "gone")
    lost = roles(tmp_path, net=NetworkConfig(), also=ShiftConfig(amount=0.5))
    # Nothing may choose with reddish.
    assert lost == {"brightness": "unknown", "reddish": "reporting"}


@pytest.mark.usefixtures("models")
def test_an_imported_network_is_believed_what_selected_its_pairs(tmp_path: Path) -> None:
    def roles(folder: Path, **told: list[str]) -> dict[str, str]:
        fakes.make_imported_network(folder, **told)
        return roles_of(run(a_run(folder, method={"standard": ShiftConfig(), "net": NetworkConfig()})))

    assert roles(tmp_path / "a") == {"brightness": "unknown", "reddish": "reporting"}
    assert roles(tmp_path / "b", selected_by=[]) == {"brightness": "reporting", "reddish": "reporting"}
    assert roles(tmp_path / "c", selected_by=["reddish"]) == {"brightness": "reporting", "reddish": "selecting"}


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("before", ["earlier", "init"])
def test_what_selected_for_an_earlier_round_or_the_network_training_began_with_selected(
    tmp_path: Path, before: str
) -> None:
    first = fakes.make_network(tmp_path, preference="brightness")
    fakes.make_network(tmp_path, preference="reddish", **{before: first})
    asked = a_run(tmp_path, method={"standard": ShiftConfig(), "net": NetworkConfig()})
    assert roles_of(run(asked)) == {"brightness": "selecting", "reddish": "selecting"}
    shutil.rmtree(first.path)
    assert roles_of(run(replace(asked, name="lost"))) == {"brightness": "unknown", "reddish": "reporting"}


@pytest.mark.usefixtures("models")
def test_what_a_weighted_sum_selects_with_is_no_evidence_in_the_sum_or_alone(tmp_path: Path) -> None:
    mixed = fakes.SumConfig({"brightness": 1.0})

    def roles(chosen: str) -> dict[str, str]:
        methods = {"standard": ShiftConfig(), "chosen": ChoosingConfig(scorer=chosen)}
        return roles_of(run(a_run(tmp_path, method=methods, scorer=a_run(tmp_path).scorer | {"mixed": mixed})))

    expected = {"brightness": "selecting", "reddish": "reporting", "mixed": "selecting"}
    assert roles("mixed") == expected
    assert roles("brightness") == expected


@pytest.mark.usefixtures("models")
def test_which_network_counts_and_not_what_it_is_called(tmp_path: Path) -> None:
    network = fakes.make_network(tmp_path)
    named = a_run(tmp_path, method={"standard": ShiftConfig(), "net": NetworkConfig()})
    artifact = run(named)
    inputs = ArtifactStore(tmp_path).resolve(artifact.reference, "scores").record["inputs"]
    assert inputs == [{"reference": "npnet/net@v1", "fingerprint": network.fingerprint}]
    by_folder = NetworkConfig(artifact=str(network.path))
    assert run(a_run(tmp_path, method={"standard": ShiftConfig(), "net": by_folder})).version == "v1"


def test_a_network_of_another_model_is_refused(tmp_path: Path, models: list[TinyModel]) -> None:
    fakes.make_network(tmp_path, model=ModelConfig(path="sdxl", num_steps=50))
    config = a_run(tmp_path, method={"standard": ShiftConfig(), "net": NetworkConfig()})
    with pytest.raises(ArtifactError, match=r"npnet/net@v1 .*model\.path=tiny-model, not sdxl"):
        run(config)
    assert not models
    assert not (tmp_path / "scores").exists()
    allowed = replace(config, stage=replace(STAGE, other_model="allow"))
    assert run(allowed).version == "v1"


def test_what_cannot_be_run_is_refused_before_anything_loads(tmp_path: Path, models: list[TinyModel]) -> None:
    with pytest.raises(ConfigError, match=r"stage\.reference=standard: .* \(shifted\)"):
        run(a_run(tmp_path, method={"shifted": ShiftConfig()}))
    with pytest.raises(ConfigError, match=r"^method\.same uses shifted, .* \(standard, same\)"):
        run(a_run(tmp_path, method={"standard": ShiftConfig(), "same": SameConfig()}))
    with pytest.raises(ConfigError, match="at least one scorer"):
        run(a_run(tmp_path, scorer={}))
    with pytest.raises(ConfigError, match=r"compute\.devices=2"):
        run(a_run(tmp_path, compute=Compute(devices=2)))
    with pytest.raises(ArtifactError, match="no npnet artifact called net"):
        run(a_run(tmp_path, method={"standard": ShiftConfig(), "net": NetworkConfig()}))
    assert not models
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_prompts", 0),
        ("num_seeds", 0),
        ("reference", ""),
        ("num_bootstrap", 10),
        ("prompts_per_part", 0),
        ("other_model", "maybe"),
    ],
)
def test_options_out_of_range(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{option}="):
        Config(**{option: value})  # type: ignore[arg-type]


def parts_of(artifact: Artifact) -> dict[str, int]:
    return {file.name: file.stat().st_ino for file in (artifact.path / "parts").iterdir()}


def test_a_version_makes_only_what_its_siblings_do_not_have(tmp_path: Path, models: list[TinyModel]) -> None:
    first = run(a_run(tmp_path))
    more = METHODS | {"again": ShiftConfig(amount=0.3), "shifted": ShiftConfig(amount=0.4)}
    second = run(a_run(tmp_path, method=more))
    assert second.version == "v2"
    # Ten images by each of two methods, after the short pass that warms up.
    assert models[-1].num_evaluations == 4 * 2 + 20 * 4
    old, new = parts_of(first), parts_of(second)
    assert {name for name in old if new[name] == old[name]} == {name for name in old if name.startswith("standard")}
    alone = run(a_run(tmp_path / "alone", method=more))
    found, expected = (pd.read_parquet(artifact.path / "scores.parquet") for artifact in (second, alone))
    pd.testing.assert_frame_equal(found, expected)
    assert not second.damaged()


@pytest.mark.usefixtures("models")
def test_parts_are_not_taken_where_another_method_decides_them_too(tmp_path: Path) -> None:
    first, second = (
        run(a_run(tmp_path, method=METHODS | {"shifted": ShiftConfig(amount=amount), "same": SameConfig()}))
        for amount in (0.2, 0.4)
    )
    old, new = parts_of(first), parts_of(second)
    assert {name for name in old if new[name] == old[name]} == {name for name in old if name.startswith("standard")}


@pytest.mark.usefixtures("models")
def test_parts_are_not_taken_where_a_scorer_reads_rows_that_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(fakes.Brightness):
        continuous = False

        def score(self, images: Any, prompts: Any) -> Any:
            return super().score(images, prompts) * 0 + torch.tensor(
                [float(prompt.metadata["n"]) for prompt in prompts]
            )

    monkeypatch.setitem(fakes.SCORERS, "brightness", Told)
    monkeypatch.setattr(scorers, "columns_read", lambda _: ("n",))
    means = []
    for number in (1, 2):
        told = [replace(prompt, metadata={"n": number}) for prompt in fakes.prompts(5)]
        monkeypatch.setattr("goldennoise.stages.eval.load_prompts", lambda *_, told=told: told)
        table = pd.read_parquet(run(a_run(tmp_path)).path / "scores.parquet")
        means.append(table[table["scorer"] == "brightness"]["score"].mean())
    assert means == [1.0, 2.0]


def test_another_reference_makes_no_image_again(tmp_path: Path, models: list[TinyModel]) -> None:
    run(a_run(tmp_path))
    other = run(a_run(tmp_path, stage=replace(STAGE, reference="shifted")))
    assert other.version == "v2"
    assert len(models) == 1
    assert json.loads((other.path / "summary.json").read_text())["reference"] == "shifted"


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"model": ModelConfig(num_steps=3)}, {"scorer": {"reddish": ScorerConfig("reddish")}}],
)
def test_parts_of_another_seed_model_or_scorer_are_not_taken(
    tmp_path: Path, models: list[TinyModel], change: dict[str, Any]
) -> None:
    run(a_run(tmp_path))
    other = run(a_run(tmp_path, **change))
    steps = 3 if "model" in change else 2
    assert (other.version, models[-1].num_evaluations) == ("v2", 4 * 2 + 20 * 2 * steps)


def test_a_method_that_fails_is_named_and_left_out_at_no_cost(tmp_path: Path, models: list[TinyModel]) -> None:
    with pytest.raises(ModelError, match=r"^method shifted: .*not finite"):
        run(a_run(tmp_path, method=METHODS | {"shifted": ShiftConfig(amount=1e39)}))
    # Standard's first part of four images was finished.
    run(a_run(tmp_path, method={"standard": ShiftConfig()}))
    assert models[-1].num_evaluations == 4 * 2 + 6 * 4
