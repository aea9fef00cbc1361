"""A run with a model in closed form and scorers that read pixels: for tests of evaluation, report and their stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import TinyModel
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.base import PipelineConfig
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.scorers.weighted_sum import WeightedSum
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.options import option

KINDS = ("single object", "two objects", "counting")


def prompts(num: int) -> list[Prompt]:
    """Prompts whose kinds take turns."""
    return [Prompt.of(f"prompt number {number}", KINDS[number % len(KINDS)]) for number in range(num)]


@dataclass(frozen=True)
class ModelConfig(PipelineConfig):
    kind: str = "tiny"
    path: str = "tiny-model"
    num_steps: int = 2
    guidance: float = 3.0


@dataclass(frozen=True)
class ShiftConfig(MethodConfig):
    """A method that adds `amount` to the noise."""

    kind: str = "shift"
    amount: float = 0.0


@dataclass(frozen=True)
class SameConfig(ShiftConfig):
    """A method that adds what another method of the run adds."""

    other: str = "shifted"

    def methods(self) -> tuple[str, ...]:
        return (self.other,)


@dataclass(frozen=True)
class NetworkConfig(MethodConfig):
    kind: str = "npnet"
    artifact: str = option("npnet/net@latest", identity=False)
    amount: float = 0.3

    def networks(self) -> tuple[str, ...]:
        return (self.artifact,)


@dataclass(frozen=True)
class ChoosingConfig(MethodConfig):
    kind: str = "best_of_n"
    scorer: str = "brightness"
    amount: float = 0.1

    def scorers(self) -> tuple[str, ...]:
        return (self.scorer,)


@dataclass(frozen=True)
class ScorerConfig:
    """place: where it runs."""

    kind: str
    place: str = option("here", identity=False)


@dataclass(frozen=True)
class SumConfig:
    """Of a weighted sum of the scorers here."""

    parts: Mapping[str, float]
    kind: str = "weighted_sum"


@dataclass(frozen=True)
class Compute(ComputeConfig):
    device: str = "cpu"
    batch_size: int = 4


class Shift(Method):
    def __init__(self, amount: float) -> None:
        self.amount = amount

    def golden(self, model: TinyModel, batch: Any) -> Tensor:  # noqa: ARG002
        return batch.source + self.amount


class Brightness:
    """Mean of the pixels, lower is better."""

    name, version, higher_is_better, unit, differentiable = "brightness", "1", False, "grey", True
    may_select = True

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        assert len(images) == len(prompts)
        return images.mean(dim=(1, 2, 3))


class Reddish:
    """1 where red is stronger than blue."""

    name, version, higher_is_better, unit, differentiable = "reddish", "2", True, "share right", False
    may_select = False

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        assert len(images) == len(prompts)
        return (images[:, 0].mean(dim=(1, 2)) > images[:, 2].mean(dim=(1, 2))).float()


SCORERS = {"brightness": Brightness, "reddish": Reddish}


@dataclass(frozen=True)
class Run:
    """The fields of RunConfig that eval and report read."""

    stage: Any
    outputs: str
    method: Mapping[str, Any]
    scorer: Mapping[str, Any] = field(default_factory=lambda: {name: ScorerConfig(name) for name in SCORERS})
    model: ModelConfig = ModelConfig()
    prompts: int = 6
    compute: Compute = Compute()
    name: str = "test"
    version: str = "auto"
    seed: int = 0


def install(monkeypatch: pytest.MonkeyPatch) -> list[TinyModel]:
    """Put these components in place of the package's; the models that are built are listed in the answer."""
    models: list[TinyModel] = []

    def build_model(config: ModelConfig, device: torch.device) -> TinyModel:
        assert device.type == "cpu"
        models.append(TinyModel(num_steps=config.num_steps, guidance=config.guidance, name=config.name))
        return models[-1]

    def build_method(config: Any, tools: Any) -> Shift:
        if hasattr(config, "artifact"):
            assert tools.artifact_folder("npnet", config.artifact).is_dir()
        return Shift((tools.methods[config.other] if hasattr(config, "other") else config).amount)

    def build_scorer(config: ScorerConfig | SumConfig, device: torch.device) -> Any:
        assert device.type == "cpu"
        if isinstance(config, SumConfig):
            return WeightedSum([(weight, SCORERS[kind]()) for kind, weight in config.parts.items()])
        return SCORERS[config.kind]()

    for package, build in (("diffusion.families", build_model), ("methods", build_method), ("scorers", build_scorer)):
        module = SimpleNamespace(build=build, version=lambda config: build_scorer(config, torch.device("cpu")).version)
        module.Config = ShiftConfig
        monkeypatch.setattr(f"goldennoise.{package}.component", lambda _, module=module: module)
    monkeypatch.setattr("goldennoise.stages.eval.load_prompts", lambda config, num: prompts(config)[:num])
    monkeypatch.setattr("goldennoise.stages.eval.described", lambda config: f"a set of {config}")
    return models


def make_network(
    outputs: Path,
    preference: str = "brightness",
    model: ModelConfig | None = None,
    reward_scorer: str | None = None,
    earlier: Artifact | None = None,
    init: Artifact | None = None,
) -> Artifact:
    """pairs/net@v1 and npnet/net@v1 as collect and train leave them, without weights.

    reward_scorer: that the network learnt to ascend; None for one that learnt from the golden noise. earlier: the
    network that the teacher of the pairs started from. init: the network whose weights training began with.
    """
    store = ArtifactStore(outputs)
    model_config = vars(model or ModelConfig())
    config = {"stage": {"preference": preference}, "method": {"shift": vars(ShiftConfig())}, "model": model_config}
    config["scorer"] = {name: {"kind": name} for name in SCORERS}
    inputs = [earlier] if earlier else []
    draft = store.begin("pairs", "net", "auto", {"preference": preference}, inputs, config)
    assert not isinstance(draft, Artifact)
    pairs = draft.commit({})
    trained = {"stage": {"objective": "regression"}, "scorer": {}}
    if reward_scorer:
        trained["stage"] = {"objective": "reward", "reward_scorer": reward_scorer}
        trained["scorer"] = {reward_scorer: {"kind": reward_scorer}}
    draft = store.begin("npnet", "net", "auto", {"model": model_config}, [pairs, *([init] if init else [])], trained)
    assert not isinstance(draft, Artifact)
    _write_curve(draft.path)
    return draft.commit({"identity_val_loss": 0.9})


def make_imported_network(outputs: Path, **told: list[str]) -> Artifact:
    """npnet/net@v1 as convert leaves it, without weights. told: what its own record says."""
    identity, config = {"model": vars(ModelConfig())}, {"stage": {"kind": "convert"}} | told
    draft = ArtifactStore(outputs).begin("npnet", "net", "auto", identity, [], config)
    assert not isinstance(draft, Artifact)
    return draft.commit({})


def _write_curve(folder: Path) -> None:
    rows = [f"{epoch},{10 * epoch},{1 / epoch},{1.1 / epoch},0.001,1.0,0.1,0.2" for epoch in range(1, 5)]
    columns = "epoch,step,train_loss,val_loss,learning_rate,gradient_norm,alpha,beta"
    (folder / "training.csv").write_text("\n".join([columns, *rows]) + "\n")
