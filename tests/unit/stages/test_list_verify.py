"""Stages list and verify on artifacts that are complete, unfinished, damaged, or made from what is gone."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from unit.generation import fakes
from unit.generation.fakes import NetworkConfig, Run, ShiftConfig

from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.stages import eval as evaluation
from goldennoise.stages import list as listing
from goldennoise.stages import verify
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft

Lines = list[str]


def make(store: ArtifactStore, kind: str, name: str, inputs: tuple[Artifact, ...] = (), **options: Any) -> Artifact:
    """options: counts and config of its record."""
    identity = {"stage": {"kind": kind}, "seed": options.get("seed", 0)}
    draft = store.begin(kind, name, "auto", identity, inputs, options.get("config", {"stage": {}}))
    assert isinstance(draft, Draft)
    with draft:
        (draft.path / "content.txt").write_text(name * 600)
        return draft.commit(options.get("counts", {}))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "outputs")


@pytest.fixture
def chain(store: ArtifactStore) -> list[Artifact]:
    """Pairs, two networks trained on them, scores."""
    filtered = {"stage": {"preference": "shapes_clip"}}
    pairs = make(store, "pairs", "mine", config=filtered, counts={"pairs": 1400, "kept": 231, "mean_gain": 0.5})
    counts = {"val_loss": 0.25, "identity_val_loss": 0.5}
    network = make(store, "npnet", "mine", (pairs,), counts=counts)
    other = make(store, "npnet", "imported", counts={"parameters": 1234567})
    return [pairs, network, other, make(store, "checkpoint", "mine", (network,), counts={"parameters": 3, "x_y": "z"})]


def shown(store: ArtifactStore, capsys: pytest.CaptureFixture[str], artifacts: Any = None) -> Lines:
    config: Any = SimpleNamespace(outputs=str(store.root), stage=listing.Config(artifacts=artifacts))
    capsys.readouterr()
    listing.run(config)
    return capsys.readouterr().out.splitlines()


def verified(store: ArtifactStore, capsys: pytest.CaptureFixture[str], artifacts: Any = None) -> tuple[Lines, str]:
    """The lines, and the sentence at the end; empty for none."""
    config: Any = SimpleNamespace(outputs=str(store.root), stage=verify.Config(artifacts=artifacts))
    capsys.readouterr()
    try:
        verify.run(config)
    except ArtifactError as error:
        return capsys.readouterr().out.splitlines(), str(error)
    return capsys.readouterr().out.splitlines(), ""


@pytest.mark.usefixtures("chain")
def test_a_tree_of_kinds_names_and_versions(store: ArtifactStore, capsys: pytest.CaptureFixture[str]) -> None:
    make(store, "npnet", "mine", seed=1, counts={"val_loss": 0.125})
    lines = shown(store, capsys)
    assert [line[: len("    v1 ")].rstrip() for line in lines] == [
        "pairs", "  mine", "    v1", "npnet", "  impor", "    v1", "  mine", "    v1", "", "    v2",
        "checkpo", "  mine", "    v1", "",
    ]  # fmt: skip
    assert lines[2].endswith(" 2.3 KiB  231 of 1,400 pairs kept, mean gain +0.5 by shapes_clip")
    assert lines[5].endswith("1,234,567 parameters, not trained here")
    assert lines[7].endswith("validation loss 0.25, 0.5 of the noise as it is")
    assert lines[8].strip() == "from pairs/mine@v1"
    assert lines[9].endswith("validation loss 0.125")
    assert lines[12].endswith("3 parameters")
    date = lines[2].split()[1:3]
    assert (len(date[0]), len(date[1])) == (10, 5)


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize(
    ("artifacts", "expected"),
    [
        ("npnet", ["imported", "mine"]),
        ("npnet/i*", ["imported"]),
        ("*/mine@v1", ["mine", "mine", "mine"]),
        (["checkpoint/mine", "pairs"], ["mine", "mine"]),
    ],
)
def test_some_of_them(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str], artifacts: Any, expected: list[str]
) -> None:
    lines = shown(store, capsys, artifacts)
    assert [line.strip() for line in lines if line.startswith("  ") and line[2] != " "] == expected


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize("look", [shown, verified])
def test_a_choice_of_nothing_is_refused(store: ArtifactStore, capsys: pytest.CaptureFixture[str], look: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"^stage\.artifacts=scors/a: there is no kind scors; .*did you mean scores\?"
    ):
        look(store, capsys, "scors/a")
    config: Any = SimpleNamespace(outputs=str(store.root), stage=listing.Config(artifacts=["pairs", "npnet/mine@v9"]))
    with pytest.raises(
        ArtifactError, match=r"^stage\.artifacts=npnet/mine@v9: there is no such artifact in .*outputs;"
    ):
        listing.run(config)


@pytest.mark.parametrize("artifacts", ["", 3, ["pairs", ""], {"a": "b"}])
def test_what_is_no_choice(artifacts: Any) -> None:
    for stage in (listing, verify):
        with pytest.raises(ConfigError, match=r"^artifacts=.*: artifacts must be null, KIND, KIND/NAME or a list"):
            stage.Config(artifacts=artifacts)


def test_an_empty_folder(store: ArtifactStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(store, capsys) == [f"{store.root} holds no artifact."]
    assert verified(store, capsys) == (
        [],
        f"outputs={store.root} holds no artifact: name the folder that the stages wrote to",
    )


def test_unfinished_and_damaged_ones_are_shown_as_such(
    store: ArtifactStore, chain: list[Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, network, other, checkpoint = chain
    draft = store.begin("pairs", "mine", "auto", {"seed": 5}, [], {})
    assert isinstance(draft, Draft)
    draft.release()
    (store.root / "pairs/mine/v3.partial").mkdir()
    (network.path / "record.json").write_text("{}")
    (other.path / "record.json").unlink()
    (checkpoint.path / "content.txt").unlink()
    lines = shown(store, capsys)
    assert "unfinished since 2" in lines[3]
    assert lines[3].endswith("run its collect command again, it goes on where it stopped")
    assert "damaged: it has no record.json" in lines[6]
    assert "record.json is damaged: it has no kind" in lines[8]
    assert lines[11].endswith("damaged: 1 of 1 files are gone")
    lines, sentence = verified(store, capsys)
    assert lines[:2] == ["pairs/mine@v1: ok", "pairs/mine@v2: unfinished"]
    assert lines[2] == "npnet/imported@v1: damaged: it has no record.json"
    assert lines[4] == (
        "checkpoint/mine@v1: damaged: content.txt, missing or with another checksum; its input npnet/mine@v1 is damaged"
    )
    failed = "npnet/imported@v1, npnet/mine@v1, checkpoint/mine@v1"
    assert sentence.startswith(f"3 of 5 artifacts in {store.root} failed ({failed}): restore them")
    assert verified(store, capsys, "pairs") == (lines[:2], "")
    pairs.path.rename(pairs.path.with_name("v7"))
    assert (
        "its record.json is that of pairs/mine@v1, and it lies in the place of pairs/mine@v7" in shown(store, capsys)[3]
    )


def test_every_checksum_is_verified(
    store: ArtifactStore, chain: list[Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(store, capsys) == ([f"{one.reference}: ok" for one in (chain[0], chain[2], chain[1], chain[3])], "")
    (chain[1].path / "content.txt").write_text("other")
    lines, sentence = verified(store, capsys)
    assert lines[2] == "npnet/mine@v1: damaged: content.txt, missing or with another checksum"
    assert sentence.startswith("1 of 4 artifacts")


def test_an_input_that_is_gone_is_told_and_a_replaced_one_is_a_failure(
    store: ArtifactStore, chain: list[Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    store.remove(chain[0])
    lines, sentence = verified(store, capsys, "npnet/mine")
    assert (lines, sentence) == (["npnet/mine@v1: its input pairs/mine@v1 is gone"], "")
    make(store, "pairs", "mine", seed=1)
    lines, sentence = verified(store, capsys, "npnet/mine")
    assert lines == ["npnet/mine@v1: its input pairs/mine@v1 was replaced by another"]
    assert sentence.startswith("1 of 1 artifacts")


def test_an_input_from_outside_is_not_looked_for(store: ArtifactStore, capsys: pytest.CaptureFixture[str]) -> None:
    outside = Artifact("npnet", "packaged", "v1", Path(), {"fingerprint": "f"})
    scores = make(store, "scores", "mine")
    record = json.loads((scores.path / "record.json").read_text())
    record["inputs"] = [{"reference": "packaged/shapes", "fingerprint": outside.fingerprint}]
    (scores.path / "record.json").write_text(json.dumps(record))
    assert verified(store, capsys) == (["scores/mine@v1: ok"], "")


def test_scores_have_the_difference_of_the_headline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes.install(monkeypatch)
    store = ArtifactStore(tmp_path)
    fakes.make_network(tmp_path)
    methods = {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=0.2), "net": NetworkConfig()}
    base = Run(evaluation.Config(num_prompts=6, num_seeds=2, num_bootstrap=100), str(tmp_path), methods, name="a")
    found = json.loads((evaluation.run(base).path / "summary.json").read_text())
    told = found["methods"]["net"]["scorers"]["reddish"]  # brightness chose the pairs of the network
    evaluation.run(
        replace(base, name="b", method={"standard": ShiftConfig()}, stage=replace(base.stage, num_prompts=3))
    )
    first, _, _, second = shown(store, capsys, "scores")[2:]
    assert first.endswith(
        f"reddish {told['difference']:+.4g} [{told['low']:+.4g}, {told['high']:+.4g}], net against standard, "
        "6 prompts × 2 seeds"
    )
    assert second.endswith(", standard alone, 3 prompts × 2 seeds")
    summary = tmp_path / "scores/a/v1/summary.json"
    summary.write_text("{}")
    assert shown(store, capsys, "scores/a")[2].endswith("36 images")
