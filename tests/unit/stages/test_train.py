"""The stage: from a pairs artifact to an npnet artifact, and what it refuses."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file
from unit.training.learnable import (
    BRIEF,
    LATENT,
    SMALL,
    TEXT,
    FakeModelConfig,
    run_config,
    use_fake_model,
    write_pairs_artifact,
)

from goldennoise import scorers
from goldennoise.diffusion.base import PipelineConfig
from goldennoise.errors import ArtifactError, ConfigError, GoldenNoiseError
from goldennoise.networks.checkpoint import load_npnet
from goldennoise.networks.layouts import Config as LayoutArchitecture
from goldennoise.networks.layouts.network import LayoutNPNet
from goldennoise.networks.noise_lora import Config as LoraArchitecture
from goldennoise.networks.sources import read_record
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.scorers.shapes_clip import Config as ClipConfig
from goldennoise.scorers.shapes_verifier import Config as VerifierConfig
from goldennoise.stages import train
from goldennoise.store.artifacts import ArtifactStore, Draft
from goldennoise.training import objectives

OPTIONS = replace(BRIEF, num_epochs=2, sample_every_epochs=1, num_samples=1)


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_model(monkeypatch)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    write_pairs_artifact(folder)
    return folder


def test_pairs_become_a_network(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = train.run(run_config(outputs, OPTIONS))
    assert artifact.reference == "npnet/learnable@v1"
    assert artifact.damaged() == []
    names = {"model.safetensors", "config.json", "training.csv", "training.json"}
    assert set(artifact.record["files"]) == names | {"samples/epoch-0001.png", "samples/epoch-0002.png"}
    assert {path.name for path in artifact.path.iterdir()} == names | {"samples", "record.json"}
    counts = artifact.record["counts"]
    assert (counts["pairs"], counts["prompts"], counts["epochs"]) == (36, 18, 2)
    assert 0 < counts["val_loss"] < counts["identity_val_loss"]
    printed = capsys.readouterr().out
    assert f"validation loss {counts['val_loss']:.5g} at epoch {counts['best_epoch']} of 2" in printed
    assert f"predicting the source itself: {counts['identity_val_loss']:.5g}" in printed

    network = load_npnet(artifact.path)
    assert network(torch.zeros(2, *LATENT) + torch.eye(4), torch.zeros(2, *TEXT)).shape == (2, *LATENT)
    record = json.loads((artifact.path / "config.json").read_text())["record"]
    origin = {
        "model": {"kind": "fake", "path": "fake", "revision": None, "weights": None},
        "data": "pairs/learnable@v1",
        "prompt_set": "learnable.txt",
        "teacher": "re_denoise",
        "objective": "regression",
        "preference": "score",
        "margin": 0.0,
    }
    assert record == origin | counts

    assert train.run(run_config(outputs, OPTIONS)).reference == artifact.reference
    assert capsys.readouterr().out == "npnet/learnable@v1 is complete.\n"


def test_how_frozen_inputs_come_about_decides_nothing(outputs: Path) -> None:
    trained = [
        train.run(run_config(outputs, replace(OPTIONS, frozen_inputs=kind), name=kind)) for kind in ("disk", "compute")
    ]
    assert trained[0].record["identity"] == trained[1].record["identity"]
    assert trained[0].record["files"]["model.safetensors"] == trained[1].record["files"]["model.safetensors"]
    again = run_config(outputs, replace(OPTIONS, frozen_inputs="compute"), name="disk")
    assert train.run(again).reference == trained[0].reference


def test_inputs_are_not_computed_in_loader_processes(outputs: Path) -> None:
    config = run_config(
        outputs, replace(OPTIONS, frozen_inputs="compute"), compute=ComputeConfig(device="cpu", num_workers=2)
    )
    with pytest.raises(ConfigError, match=r"^compute\.num_workers=2: .*; set compute\.num_workers=0$"):
        train.run(config)


def test_a_damaged_network_is_trained_again_to_the_same_files(outputs: Path) -> None:
    config = run_config(outputs, OPTIONS)
    before = train.run(config)
    (before.path / "model.safetensors").write_bytes(b"damaged")
    after = train.run(config)
    assert after.damaged() == []
    assert after.record["files"] == before.record["files"]


def test_a_repair_that_is_killed_trains_again(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_config(outputs, OPTIONS)
    before = train.run(config)
    (before.path / "training.csv").write_text("damaged")
    with monkeypatch.context() as patched:
        patched.setattr(train, "_train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            train.run(config)
    after = train.run(config)
    assert after.record["files"] == before.record["files"]


def test_a_reward_builds_no_other_scorer_and_is_known_without_its_files(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(
        outputs, replace(OPTIONS, objective="reward"), scorer={"shapes_clip": ClipConfig(), "other": VerifierConfig()}
    )
    wanted: list[list[str]] = []

    def scored_by(names: Any) -> Any:
        wanted.append([*names])
        return scorers.identities({name: config.scorer[name] for name in wanted[-1]})

    store, identity = ArtifactStore(outputs), train._identity(config, train._loss(config), scored_by)
    assert wanted == [["shapes_clip"]]
    pairs = store.resolve(config.stage.pairs, "pairs")
    draft = store.begin("npnet", config.name, "auto", identity, [pairs], asdict(config))
    assert isinstance(draft, Draft)
    trained = draft.commit({})
    gone = SimpleNamespace(version=lambda _: None, build=lambda *_: pytest.fail("no scorer is built"))
    monkeypatch.setattr(scorers, "component", lambda _: gone)
    assert train.run(config).path == trained.path


def test_a_run_killed_before_the_commit_trains_no_more(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_config(outputs, replace(OPTIONS, num_epochs=1))
    finish = train._finish
    monkeypatch.setattr(train, "_finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        train.run(config)
    monkeypatch.setattr(train, "_finish", finish)
    monkeypatch.setattr(train, "_train", lambda *_: pytest.fail("trained again"))
    assert train.run(config).record["counts"]["epochs"] == 1


def test_damaged_pairs_are_refused_by_name(tmp_path: Path) -> None:
    pairs = write_pairs_artifact(tmp_path)
    shard = pairs.path / "pairs-00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ArtifactError, match=r"pairs-00001\.safetensors is damaged"):
        train.run(run_config(tmp_path, OPTIONS))


def test_pairs_of_another_model_are_refused(tmp_path: Path) -> None:
    write_pairs_artifact(tmp_path, FakeModelConfig(path="another"))
    with pytest.raises(ArtifactError, match=r"pairs/learnable@v1 holds .* \(model.path=fake, not another\)"):
        train.run(run_config(tmp_path, OPTIONS))


def test_missing_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="learnable"):
        train.run(run_config(tmp_path, OPTIONS))


def test_a_loss_that_is_no_number_leaves_an_unfinished_artifact(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_config(outputs, replace(OPTIONS, learning_rate=1.0, num_epochs=3), version="v9")
    with monkeypatch.context() as patched:
        from goldennoise.training.engine import fit

        good = fit.NoiseTraining.pair_losses
        patched.setattr(
            fit.NoiseTraining,
            "pair_losses",
            lambda self, batch: good(self, batch) * (float("nan") if self.current_epoch == 1 else 1.0),
        )
        with pytest.raises(GoldenNoiseError, match=r"training stopped at step 5 \(epoch 2\)"):
            train.run(config)
    folder = outputs / "npnet/learnable/v9.partial"
    assert (folder / "work/last.ckpt").is_file()
    assert not (outputs / "npnet/learnable/v9").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("training.json", "{"),
        ("training.json", "{}"),
        ("training.json", "[1]"),
        ("training.json", '{"val_loss": "x", "best_epoch": 1, "epochs": 1, "identity_val_loss": 1}'),
        ("model.safetensors", ""),
        ("model.safetensors", None),
        ("config.json", "{}"),
    ],
)
def test_a_damaged_result_of_a_killed_run_is_written_again(tmp_path: Path, name: str, content: str | None) -> None:
    write_pairs_artifact(tmp_path)
    config = run_config(tmp_path, replace(OPTIONS, num_epochs=1))
    with patch.object(train, "_finish", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        train.run(config)
    damaged = tmp_path / "npnet/learnable/v1.partial" / name
    expected = damaged.read_bytes()
    damaged.unlink()
    if content is not None:
        damaged.write_text(content)
    assert (train.run(config).path / name).read_bytes() == expected


def test_several_devices_need_several_processes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"compute.devices=2, but 1 process was started: use torchrun"):
        train.run(run_config(tmp_path, OPTIONS, num_devices=2))


def test_what_decides_the_content_is_in_the_fingerprint_and_what_does_not_is_not(outputs: Path) -> None:
    same = run_config(outputs, OPTIONS, compute=ComputeConfig(device="cpu", batch_size=1, num_workers=1))
    assert train.run(same).reference == train.run(run_config(outputs, OPTIONS)).reference
    wider = replace(SMALL, value_hidden=SMALL.value_hidden + 1)
    with pytest.raises(ArtifactError, match="value_hidden 16 -> 17"):
        train.run(run_config(outputs, OPTIONS, npnet=wider, version="v1"))


def test_a_regression_takes_no_notice_of_the_rewards_options(outputs: Path) -> None:
    other = replace(OPTIONS, reward_weight=0.5, reward_scorer="unknown")
    assert train.run(run_config(outputs, other)).reference == train.run(run_config(outputs, OPTIONS)).reference
    weighted = replace(OPTIONS, objective="gain_weighted")
    with pytest.raises(ArtifactError, match='objective "regression" -> "gain_weighted"'):
        train.run(run_config(outputs, weighted, version="v1"))


def test_training_can_begin_with_the_weights_of_a_trained_network(outputs: Path) -> None:
    first = train.run(run_config(outputs, OPTIONS))
    still = replace(OPTIONS, num_epochs=1, learning_rate=1e-12)
    config = run_config(outputs, still, name="more")
    folder = str(first.path)  # where it lies on this machine, which nobody else is to be told
    again = train.run(replace(config, stage=replace(config.stage, init_network=folder)))
    before, after = (load_file(artifact.path / "model.safetensors") for artifact in (first, again))
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=1e-6)
    assert [source["reference"] for source in again.record["inputs"]] == ["pairs/learnable@v1", first.reference]
    assert json.loads((again.path / "config.json").read_text())["record"]["begun_with"] == first.reference
    fresh = train.run(run_config(outputs, still, name="fresh"))
    assert fresh.fingerprint != again.fingerprint
    assert any(not torch.allclose(load_file(fresh.path / "model.safetensors")[name], before[name]) for name in before)


def test_training_cannot_begin_with_a_network_of_the_same_tensors_and_another_function(outputs: Path) -> None:
    first = train.run(run_config(outputs, OPTIONS))
    signs = run_config(outputs, OPTIONS, npnet=replace(SMALL, canonical_signs=False), name="signs")
    with pytest.raises(ConfigError, match=r"it is canonical_signs=True instead of False; give npnet the options"):
        train.run(replace(signs, stage=replace(signs.stage, init_network=first.reference)))
    deeper = run_config(outputs, OPTIONS, npnet=replace(SMALL, drop_path_rate=0.0), name="deeper")
    train.run(replace(deeper, stage=replace(deeper.stage, init_network=first.reference)))


@pytest.mark.parametrize(
    ("dtype", "offload", "words"),
    [("float16", False, "model.dtype=float16: "), ("float32", True, "compute.offload=true: ")],
)
def test_a_network_inside_the_model_needs_gradients_there(outputs: Path, dtype: str, offload: bool, words: str) -> None:
    parts: dict[str, Any] = {
        "npnet": LoraArchitecture(),
        "scorer": {"shapes_clip": ClipConfig()},
        "model": PipelineConfig(kind="fake", path="fake", dtype=dtype),
        "compute": ComputeConfig(device="cuda", offload=offload),
    }
    config = run_config(outputs, replace(OPTIONS, objective="reward"))
    config = replace(config, **parts)
    with pytest.raises(ConfigError, match=f"{words}npnet.kind=noise_lora is trained inside the model"):
        train.run(config)


def test_training_cannot_begin_with_another_architecture(outputs: Path) -> None:
    first = train.run(run_config(outputs, OPTIONS))
    wider = run_config(outputs, OPTIONS, npnet=replace(SMALL, value_hidden=SMALL.value_hidden + 1), name="wider")
    with pytest.raises(ConfigError, match="value_hidden=16 instead of 17; give npnet the options"):
        train.run(replace(wider, stage=replace(wider.stage, init_network=first.reference)))


def test_without_gains_nothing_can_be_weighted_by_them(tmp_path: Path) -> None:
    write_pairs_artifact(tmp_path, preference=None)
    with pytest.raises(
        ConfigError, match=r"gain_weighted: pairs/learnable@v1 was collected with stage\.preference=null"
    ):
        train.run(run_config(tmp_path, replace(OPTIONS, objective="gain_weighted")))


@pytest.mark.parametrize("objective", ["regression", "gain_weighted"])
def test_the_objective_asked_for_is_the_one_trained_for(
    outputs: Path, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goldennoise.training.engine import fit

    trained_for: list[object] = []

    def stop(training: fit.Training) -> None:
        trained_for.append(training.objective)
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "train_npnet", stop)
    with pytest.raises(KeyboardInterrupt):
        train.run(run_config(outputs, replace(OPTIONS, objective=objective), name="asked"))
    assert type(trained_for[0]) is objectives.component(objective).Loss


def test_a_reward_by_other_weights_is_another_network(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identity(version: str) -> dict:
        monkeypatch.setattr(scorers, "component", lambda _: SimpleNamespace(version=lambda _: version))
        config = run_config(outputs, replace(OPTIONS, objective="reward"), scorer={"shapes_clip": VerifierConfig()})
        return train._identity(config, train._loss(config), lambda _: scorers.identities(config.scorer))

    assert identity("1") == identity("1")
    assert identity("1") != identity("2")


def test_a_complete_reward_is_known_without_its_scorer(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_config(outputs, replace(OPTIONS, objective="reward"), scorer={"shapes_clip": VerifierConfig()})
    identity = train._identity(config, train._loss(config), lambda _: scorers.identities(config.scorer))
    store = ArtifactStore(outputs)
    pairs = store.resolve("pairs/learnable@v1", "pairs")
    with store.begin("npnet", "known", "v1", identity, [pairs], {}) as draft:  # type: ignore[union-attr]
        draft.commit({})
    monkeypatch.setattr(scorers, "built", lambda *_: pytest.fail("built"))
    assert train.run(replace(config, name="known")).reference == "npnet/known@v1"


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({}, r"stage\.reward_scorer=shapes_clip: .*scorers of this run \(none\)"),
        ({"shapes_clip": VerifierConfig()}, "shapes_verifier only reports"),
    ],
)
def test_a_reward_needs_a_scorer_of_the_run_that_may_select(outputs: Path, chosen: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        train.run(run_config(outputs, replace(OPTIONS, objective="reward"), scorer=chosen))


def test_a_reward_through_more_steps_than_the_sampler_has_is_refused(outputs: Path) -> None:
    options = replace(OPTIONS, objective="reward", reward_steps=51)
    config = run_config(outputs, options, scorer={"shapes_clip": ClipConfig()})
    with pytest.raises(ConfigError, match=r"stage\.reward_steps=51: reward_steps must be at most 50 with model\.sched"):
        train.run(replace(config, model=SimpleNamespace(scheduler="lcm")))


def test_a_reward_needs_a_gradient(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blind = SimpleNamespace(name="blind", version="1", differentiable=False, may_select=True)
    monkeypatch.setattr(scorers, "component", lambda _: SimpleNamespace(build=lambda *_: blind, version=lambda _: "1"))
    with pytest.raises(ConfigError, match="blind is not differentiable, which the objective reward needs"):
        train.run(run_config(outputs, replace(OPTIONS, objective="reward"), scorer={"shapes_clip": VerifierConfig()}))


@pytest.mark.parametrize(("npnet", "objective"), [(SMALL, "layout_likelihood"), (LayoutArchitecture(), "regression")])
def test_networks_that_draw_layouts_have_an_objective_of_their_own(outputs: Path, npnet: Any, objective: str) -> None:
    config = run_config(outputs, replace(OPTIONS, objective=objective), npnet=npnet)
    with pytest.raises(ConfigError, match=f"objective={objective} with npnet.kind={npnet.kind}: networks that draw"):
        train.run(config)


def test_a_network_that_draws_layouts_is_an_npnet_artifact(tmp_path: Path) -> None:
    write_pairs_artifact(tmp_path, num_prompts=50)
    options = replace(OPTIONS, objective="layout_likelihood", batch_size=24, validation_share=0.3, keep_rejected=True)
    small = LayoutArchitecture(num_layouts=2, rank=8, width=8, depth=1, heads=2, hidden=8)
    artifact = train.run(run_config(tmp_path, options, npnet=small))
    network = load_npnet(artifact.path)
    assert isinstance(network, LayoutNPNet)
    assert network.config.architecture == small
    assert read_record(artifact.path)["objective"] == "layout_likelihood"
    assert artifact.record["counts"]["parameters"] == sum(weight.numel() for weight in network.parameters())
