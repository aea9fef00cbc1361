"""The collect stage with small fakes: what it refuses, what it records, and what it never does twice."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from unit.data.pairs.fakes import FakeModel, FakeScorer, FakeTeacher

from goldennoise import methods, scorers, stages
from goldennoise.config.compose import RunConfig
from goldennoise.data.pairs import PairReader
from goldennoise.data.prompts import PromptsConfig, all_prompts
from goldennoise.diffusion import families
from goldennoise.diffusion.identity import model_identity
from goldennoise.diffusion.noise_levels.uniform import Config as UniformTimesteps
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.methods.npnet import Config as NPNetMethodConfig
from goldennoise.methods.tools import MethodTools
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.stages import collect
from goldennoise.store import options
from goldennoise.store.artifacts import ArtifactStore
from goldennoise.store.drafts import Draft
from goldennoise.training.engine.loggers import LoggerConfig


@dataclass(frozen=True)
class FakeConfig:
    kind: str = "fake"
    option: int = 1
    place: str = options.option("here", identity=False)


@dataclass(frozen=True)
class TeacherConfig(MethodConfig):
    kind: str = "fake"
    option: int = 1


@dataclass(frozen=True)
class NetworkConfig(MethodConfig):
    kind: str = "fake"
    artifact: str = "npnet/net@latest"

    def networks(self) -> tuple[str, ...]:
        return (self.artifact,)


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[FakeModel]:
    """Fake components in place of the registries' own; the models that were loaded."""
    models: list[FakeModel] = []
    # Waiting for a busy disk would make these tests slow, and nothing here depends on it.
    monkeypatch.setattr(os, "fsync", lambda _: None)

    def build_model(_: FakeConfig, device: torch.device) -> FakeModel:
        assert device.type == "cpu"
        models.append(FakeModel())
        return models[-1]

    def build_scorer(config: FakeConfig, _: torch.device) -> FakeScorer:
        return FakeScorer(higher_is_better=config.option == 1, may_select=config.option != 3)

    def version(config: FakeConfig) -> str:
        return build_scorer(config, torch.device("cpu")).version

    builders = {families: build_model, scorers: build_scorer, methods: lambda *_: FakeTeacher()}
    for package, build in builders.items():
        monkeypatch.setattr(package, "component", lambda _, build=build: SimpleNamespace(build=build, version=version))
    return models


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return RunConfig(
        stage=collect.Config(num_prompts=10, preference="bright", prompts_per_shard=4),
        model=FakeConfig(),
        prompts=PromptsConfig(),
        scorer={"bright": FakeConfig()},
        noise_levels=UniformTimesteps(),
        npnet=ArchitectureConfig(),
        method={"teacher": TeacherConfig()},
        compute=ComputeConfig(device="cpu", batch_size=3),
        logger=LoggerConfig(),
        name="tiny",
        outputs=str(tmp_path),
    )


def changed(config: RunConfig, **stage: object) -> RunConfig:
    return dataclasses.replace(config, stage=dataclasses.replace(config.stage, **stage))


def test_makes_the_artifact_and_says_what_is_in_it(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = collect.run(config)
    assert artifact.reference == "pairs/tiny@v1"
    assert ArtifactStore(config.outputs).resolve("tiny", "pairs").path == artifact.path
    reader, counts = PairReader(artifact.path), artifact.record["counts"]
    assert counts["pairs"] == len(reader) == 10
    assert counts["kept"] == reader.index["kept"].sum()
    assert counts["acceptance"] == pytest.approx(reader.index["kept"].mean())
    gain = (reader.index["bright_golden"] - reader.index["bright_source"]).mean()
    assert counts["mean_gain"] == pytest.approx(gain)
    assert counts["evaluations"] == 10 * (2 * FakeModel.num_steps + 1)
    printed = capsys.readouterr()
    assert f"pairs/tiny@v1: 10 pairs, {counts['kept']} kept" in printed.out
    assert "held-out" not in printed.out
    assert "10/10" in printed.err
    assert "pairs/s, accepted" in printed.err


def test_without_a_filter_every_seed_is_a_pair(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = collect.run(changed(config, preference=None, num_seeds=2))
    counts = artifact.record["counts"]
    assert counts["pairs"] == counts["kept"] == len(PairReader(artifact.path)) == 20
    assert counts["mean_gain"] == 0
    assert counts["evaluations"] == 20
    printed = capsys.readouterr()
    assert "pairs/tiny@v1: 20 pairs, not filtered" in printed.out
    assert "20/20" in printed.err
    assert "accepted" not in printed.err


def test_held_out_prompts_are_counted_in_the_last_line(
    config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "measured.txt").write_text("\n".join(prompt.text for prompt in all_prompts(config.prompts)[:3]))
    held_out = dataclasses.replace(config.prompts, held_out=(str(tmp_path / "measured.txt"),))
    collect.run(dataclasses.replace(config, prompts=held_out))
    assert capsys.readouterr().out.splitlines()[-1].endswith("; held-out prompts left out: 3")


def test_a_second_run_says_complete_and_loads_no_model(
    config: RunConfig, loaded: list[FakeModel], capsys: pytest.CaptureFixture[str]
) -> None:
    first = collect.run(config)
    capsys.readouterr()
    assert collect.run(config).path == first.path
    assert capsys.readouterr().out == "pairs/tiny@v1 is complete.\n"
    assert len(loaded) == 1


def test_how_it_is_computed_is_not_identity(config: RunConfig) -> None:
    first = collect.run(config)
    other = dataclasses.replace(config, compute=ComputeConfig(device="cpu", batch_size=1, num_workers=2))
    assert collect.run(other).path == first.path
    elsewhere = dataclasses.replace(config, scorer={"bright": FakeConfig(place="there")})
    assert collect.run(elsewhere).path == first.path


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"method": {"teacher": TeacherConfig(option=2)}},
        {"model": FakeConfig(option=2)},
        {"scorer": {"bright": FakeConfig(option=2)}},
        {"prompts": PromptsConfig(split="validation")},
    ],
)
def test_what_decides_the_content_is_identity(config: RunConfig, change: dict[str, object]) -> None:
    first = collect.run(config)
    assert collect.run(dataclasses.replace(config, **change)).version == "v2"  # type: ignore[arg-type]
    explicit = dataclasses.replace(config, version="v1", **change)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="v1"):
        collect.run(explicit)
    assert collect.run(config).path == first.path


def test_the_kinds_of_prompts_are_identity(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = collect.run(config)
    prompts, held_out = collect.load_training_prompts(config.prompts, 10)
    renamed = [dataclasses.replace(prompt, category="another kind") for prompt in prompts]
    monkeypatch.setattr(collect, "load_training_prompts", lambda *_: (renamed, held_out))
    other = collect.run(config)
    assert (first.version, other.version) == ("v1", "v2")
    assert set(PairReader(other.path).index["category"]) == {"another kind"}


def test_what_a_teacher_says_of_its_files_is_identity(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = []
    for content in ("one", "other", "one"):
        told = SimpleNamespace(build=lambda *_: FakeTeacher(), identity=lambda _, content=content: {"images": content})
        monkeypatch.setattr(methods, "component", lambda _, told=told: told)
        versions.append(collect.run(config).version)
    assert versions == ["v1", "v2", "v1"]


def test_the_display_name_of_the_teacher_is_not_identity(config: RunConfig) -> None:
    first = collect.run(config)
    assert collect.run(dataclasses.replace(config, method={"another name": TeacherConfig()})).path == first.path


def test_a_scorers_version_is_identity(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    collect.run(config)
    new = SimpleNamespace(build=lambda *_: FakeScorer(version="2"), version=lambda _: "2")
    monkeypatch.setattr(scorers, "component", lambda _: new)
    assert collect.run(config).version == "v2"


def test_a_complete_run_builds_no_scorer_and_knows_one_whose_files_are_gone(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = collect.run(config)
    gone = SimpleNamespace(version=lambda _: None, build=lambda *_: pytest.fail("no scorer is built"))
    monkeypatch.setattr(scorers, "component", lambda _: gone)
    assert collect.run(config).path == complete.path
    other = {"bright": FakeConfig(place="there")}
    with pytest.raises(pytest.fail.Exception, match="no scorer is built"):
        collect.run(dataclasses.replace(config, scorer=other))


def test_a_run_goes_on_in_the_shards_it_began_with(
    config: RunConfig, loaded: list[FakeModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(collect, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collect.run(config)
    loaded.clear()
    resumed = collect.run(changed(config, prompts_per_shard=64))
    assert loaded == []
    assert len([*resumed.path.glob("index-*.parquet")]) == 3
    assert resumed.record["config"]["stage"]["prompts_per_shard"] == 4


def test_shard_size_decides_no_pair(config: RunConfig, tmp_path: Path) -> None:
    one = collect.run(config)
    assert collect.run(changed(config, prompts_per_shard=64)).path == one.path
    elsewhere = dataclasses.replace(config, outputs=str(tmp_path / "elsewhere"))
    other = collect.run(changed(elsewhere, prompts_per_shard=64))
    first, second = PairReader(one.path), PairReader(other.path)
    columns = [column for column in first.index if column not in ("shard", "row")]
    assert first.index[columns].equals(second.index[columns])
    rows = first.index.index.to_numpy()
    assert all(torch.equal(a, b) for a, b in zip(first.noise(rows), second.noise(rows), strict=True))


def test_a_damaged_shard_is_named_and_only_that_one_is_made_again(
    config: RunConfig, loaded: list[FakeModel], caplog: pytest.LogCaptureFixture
) -> None:
    first = collect.run(config)
    shard = first.path / "pairs-00001.safetensors"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"\x55")
    repaired = collect.run(config)
    assert "pairs/tiny@v1 is damaged and is repaired: pairs-00001.safetensors" in caplog.text
    assert repaired.path == first.path
    assert repaired.damaged() == []
    assert shard.read_bytes() == content
    assert len(loaded[1].encoded) == 4


def test_a_damaged_index_is_made_again_without_the_model(config: RunConfig, loaded: list[FakeModel]) -> None:
    first = collect.run(config)
    content = (first.path / "index.parquet").read_bytes()
    (first.path / "index.parquet").write_bytes(b"nothing")
    assert collect.run(config).damaged() == []
    assert (first.path / "index.parquet").read_bytes() == content
    assert len(loaded) == 1


def test_an_interrupted_run_leaves_nothing_complete_and_goes_on(
    config: RunConfig, loaded: list[FakeModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Draft, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collect.run(config)
    with pytest.raises(ArtifactError, match="unfinished"):
        ArtifactStore(config.outputs).resolve("tiny", "pairs")
    assert collect.run(config).version == "v1"
    assert len(loaded) == 1


def test_filters_by_a_score_where_lower_is_better(config: RunConfig) -> None:
    artifact = collect.run(dataclasses.replace(config, scorer={"bright": FakeConfig(option=2)}))
    index, counts = PairReader(artifact.path).index, artifact.record["counts"]
    assert index["kept"].equals(index["bright_golden"] < index["bright_source"])
    assert counts["mean_gain"] == pytest.approx((index["bright_source"] - index["bright_golden"]).mean())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": {}}, "exactly one method"),
        ({"method": {"a": TeacherConfig(), "b": TeacherConfig()}}, r"method=\[a, b\]"),
        ({"scorer": {"dark": FakeConfig()}}, r"stage\.preference=bright.*\(dark\)"),
        ({"scorer": {"bright": FakeConfig(option=3)}}, r"stage\.preference=brightness: brightness only reports"),
        ({"compute": ComputeConfig(devices=2)}, r"compute\.devices=2"),
        ({"prompts": PromptsConfig(split="benchmark")}, r"prompts\.split=benchmark"),
        ({"stage": collect.Config(num_prompts=10**6, preference="bright")}, r"stage\.num_prompts=1000000"),
    ],
)
def test_mistakes_are_refused_before_anything_is_loaded_or_written(
    config: RunConfig, loaded: list[FakeModel], change: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        collect.run(dataclasses.replace(config, **change))  # type: ignore[arg-type]
    assert loaded == []
    assert list(Path(config.outputs).iterdir()) == []


def test_a_teachers_network_must_exist_and_be_whole_and_becomes_an_input(
    config: RunConfig, loaded: list[FakeModel]
) -> None:
    config = dataclasses.replace(config, method={"npnet": NetworkConfig()})
    with pytest.raises(ArtifactError, match="net"):
        collect.run(config)
    store = ArtifactStore(config.outputs)
    draft = store.begin("npnet", "net", "auto", {"model": model_identity(config.model)}, [], {})
    assert isinstance(draft, Draft)
    with draft:
        (draft.path / "model.safetensors").write_bytes(b"weights")
        network = draft.commit({})
    made = collect.run(config)
    assert made.record["inputs"] == [{"reference": "npnet/net@v1", "fingerprint": network.fingerprint}]
    (network.path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"model\.safetensors is damaged"):
        collect.run(config)
    assert len(loaded) == 1


def test_the_next_round_starts_from_a_network_and_pairs_keep_their_random_source(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = collect.run(config)
    store, for_model = ArtifactStore(config.outputs), {"model": model_identity(config.model)}
    draft = store.begin("npnet", "net", "auto", for_model, [], {})
    assert isinstance(draft, Draft)
    with draft:
        (draft.path / "model.safetensors").write_bytes(b"weights")
        network = draft.commit({})

    asked = []

    def build(method: Any, tools: MethodTools) -> Method:
        asked.append(method.kind)
        if method.kind == "npnet":
            assert tools.artifact_folder("npnet", method.artifact) == network.path
        return Doubling() if method.kind == "npnet" else FakeTeacher()

    monkeypatch.setattr(methods, "component", lambda _: SimpleNamespace(build=build, Config=NPNetMethodConfig))
    second = collect.run(with_source_network(config))
    assert asked == ["npnet", "fake"]
    assert second.record["inputs"] == [{"reference": "npnet/net@v1", "fingerprint": network.fingerprint}]
    rows = np.arange(10)
    source, golden = PairReader(first.path).noise(rows)
    source_again, golden_again = PairReader(second.path).noise(rows)
    assert torch.equal(source_again, source)
    torch.testing.assert_close(golden_again, golden + source)


def with_source_network(config: RunConfig) -> RunConfig:
    return dataclasses.replace(config, stage=dataclasses.replace(config.stage, source_network="npnet/net@latest"))


class Doubling(Method):
    def golden(self, model: Any, batch: Any) -> torch.Tensor:  # noqa: ARG002
        return 2 * batch.source


def test_a_network_of_another_model_is_refused_unless_it_is_allowed(config: RunConfig, loaded: list[FakeModel]) -> None:
    store = ArtifactStore(config.outputs)
    draft = store.begin("npnet", "net", "auto", {"model": model_identity(FakeConfig(kind="other"))}, [], {})
    assert isinstance(draft, Draft)
    with draft:
        draft.commit({})
    config = dataclasses.replace(config, method={"npnet": NetworkConfig()})
    with pytest.raises(ArtifactError, match="was trained for another model"):
        collect.run(config)
    assert loaded == []
    allowed = dataclasses.replace(config.stage, other_model="allow")
    assert collect.run(dataclasses.replace(config, stage=allowed)).version == "v1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("other_model", "maybe"),
        ("num_prompts", 0),
        ("num_seeds", 0),
        ("preference", ""),
        ("source_network", ""),
        ("margin", float("nan")),
        ("prompts_per_shard", 0),
        ("seed_index", -1),
    ],
)
def test_options_out_of_range(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"^{field}="):
        collect.Config(**{field: value})  # type: ignore[arg-type]


def test_stages_are_found_by_name() -> None:
    assert "collect" in stages.kinds()
    assert stages.component("collect") is collect
    with pytest.raises(ConfigError, match="collect"):
        stages.component("colect")
