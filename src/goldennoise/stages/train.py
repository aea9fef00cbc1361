"""train: pairs -> a network, trained to predict their golden noise in one pass."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise import scorers
from goldennoise.config.compose import RunConfig
from goldennoise.diffusion.identity import differences, model_identity
from goldennoise.errors import ArtifactError, ConfigError, ModelError, require
from goldennoise.stages.job import Job, ScoredBy, opened
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.files import write_json
from goldennoise.store.record import read_artifact, read_json
from goldennoise.training.engine.options import WORK, TrainingOptions

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.scorers.protocol import Scorer
    from goldennoise.training.objectives.regression import Objective

log = logging.getLogger(__name__)

OUTCOME = "training.json"
"""Written when the network is: a run killed between this and the commit has nothing to train any more."""


@dataclass(frozen=True)
class Input:
    """pairs: the artifact to learn from, for example "pairs/shapes@latest"."""

    kind: str = "train"
    pairs: str = "pairs/shapes@latest"


@dataclass(frozen=True)
class Config(TrainingOptions, Input):
    """What to learn from and how."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.pairs), "pairs", repr(self.pairs), "the name of a pairs artifact")


def run(config: RunConfig) -> Artifact:
    """The npnet artifact of this config: complete already, resumed, or trained, by all processes of the run.

    Raises `ArtifactError` for pairs that are damaged or of another model.
    """
    _check_objective(config)
    with opened(config, "npnet") as job:
        pairs = read_artifact(Path(job.executor.decide(lambda: str(_pairs(config, job.store).path))))
        if done := job.begin(partial(_identity, config), [pairs]):
            return done
        if not job.executor.decide(lambda: _is_trained(job.path, job.damaged)):
            _train(job, pairs)
        return job.finish(_finish)


def _is_trained(folder: Path, damaged: Sequence[str]) -> bool:
    """Whether the network is there, whole, and only the commit is left to do. damaged: files that were removed."""
    if damaged or not (folder / OUTCOME).exists():
        return False
    from goldennoise.networks.checkpoint import load_npnet

    try:
        counts = read_json(folder / OUTCOME)
        load_npnet(folder)
    except (ArtifactError, ModelError) as error:
        log.warning("%s: the network is written again from the last checkpoint", error)
        return False
    needed = ("val_loss", "best_epoch", "epochs", "identity_val_loss")
    return all(isinstance(counts.get(name), int | float) for name in needed)


def _check_objective(config: RunConfig) -> None:
    if (config.npnet.kind == "layouts") != (config.stage.objective == "layout_likelihood"):
        raise ConfigError(
            f"stage.objective={config.stage.objective} with npnet.kind={config.npnet.kind}: networks that draw layouts "
            "learn by layout_likelihood, and no other network does"
        )


def _pairs(config: RunConfig, store: ArtifactStore) -> Artifact:
    pairs = store.resolve(config.stage.pairs, "pairs")
    changes = differences(pairs.recorded("identity", "model", kind=dict), config.model)
    if changes:
        raise ArtifactError(
            f"{pairs.reference} holds pairs of another model ({'; '.join(changes)}): train with that model, "
            "or choose other pairs with stage.pairs"
        )
    if config.stage.objective == "gain_weighted":
        _refuse_no_gains(pairs)
    pairs.check()
    return pairs


def _refuse_no_gains(pairs: Artifact) -> None:
    if pairs.recorded("config", "stage", "preference") is None:
        raise ConfigError(
            f"stage.objective=gain_weighted: {pairs.reference} was collected with stage.preference=null, so none has "
            "a gain; collect with a preference, or train with objective=regression"
        )


def _identity(config: RunConfig, _: ScoredBy) -> dict[str, Any]:
    return {
        "stage": _decisive_options(config),
        "npnet": asdict(config.npnet),
        "model": model_identity(config.model),
        "seed": config.seed,
    }


def _decisive_options(config: RunConfig) -> dict[str, Any]:
    """The options of the stage that decide what is learnt, the reward's only where there is one."""
    options = {key: value for key, value in asdict(config.stage).items() if key != "pairs"}
    chosen = _reward_scorer(config)
    if chosen is None:
        return {key: value for key, value in options.items() if not key.startswith("reward_")}
    scorer = scorers.component(chosen.kind).build(chosen, config.compute.torch_device())
    _refuse_unfit_reward(scorer)
    return options | {"reward_scorer": scorers.identities({"": chosen}, {"": scorer})[""]}


def _train(job: Job, pairs: Artifact) -> None:
    # Lightning takes seconds to load: only now is it certain that there is something to train.
    from goldennoise.data.pairs.reader import PairReader
    from goldennoise.diffusion import setup
    from goldennoise.networks.checkpoint import save_npnet
    from goldennoise.training.engine import loggers
    from goldennoise.training.engine.fit import Setting, train_npnet

    config, processes, folder = job.config, job.processes, job.path
    device, origin = config.compute.torch_device(), _origin(config, pairs)
    version = job.reference.removeprefix("npnet/")
    log_folder = Path(config.outputs) / "logs" / "train" / version
    needed = processes.is_first or config.stage.objective == "reward"
    model = setup.load(config.model, config.compute) if needed else None
    objective = _objective(config, model, device)
    with loggers.opened(config.logger, log_folder, version, processes.is_first) as chosen:
        setting = Setting(device, processes, config.compute.num_workers, config.compute.batch_size, chosen)
        reader = PairReader(pairs.path)
        network, counts = train_npnet(
            reader, model, config.npnet, config.stage, folder, config.seed, setting, objective
        )

    def save() -> None:
        save_npnet(network, folder, origin | counts.as_record())
        write_json(folder / OUTCOME, counts.as_record())

    processes.from_first(save)


def _origin(config: RunConfig, pairs: Artifact) -> dict[str, Any]:
    """What a network says of itself wherever it goes: the model it is for, what it learnt from and how."""
    stage: Config = config.stage
    prompts = {part: pairs.recorded("config", "prompts", part) for part in ("path", "kind", "split")}
    (teacher,) = pairs.recorded("config", "method", kind=dict) or ("",)
    origin = {
        "model": model_identity(config.model),
        "data": pairs.reference,
        "prompt_set": prompts["path"] or f"{prompts['kind']}, {prompts['split']}",
        "teacher": pairs.recorded("config", "method", teacher, "kind", kind=str),
        "objective": stage.objective,
    }
    if stage.objective == "reward":
        return origin | {"reward_scorer": stage.reward_scorer}
    preference = pairs.recorded("config", "stage", "preference")
    if preference is None:
        return origin
    return origin | {"preference": preference, "margin": pairs.recorded("config", "stage", "margin")}


def _reward_scorer(config: RunConfig) -> Any:
    """Config of the scorer that the objective ascends, None for another objective. Raises `ConfigError`."""
    stage: Config = config.stage
    if stage.objective != "reward":
        return None
    if stage.reward_scorer not in config.scorer:
        known = ", ".join(config.scorer) or "none"
        raise ConfigError(
            f"stage.reward_scorer={stage.reward_scorer}: the objective reward needs one of the scorers of this run "
            f"({known}), which scorer=[...] chooses"
        )
    return config.scorer[stage.reward_scorer]


def _refuse_unfit_reward(scorer: "Scorer") -> None:
    from goldennoise.scorers.protocol import refuse_reporting_only

    refuse_reporting_only(scorer, "stage.reward_scorer")
    if not scorer.differentiable:
        raise ConfigError(
            f"stage.reward_scorer={scorer.name}: {scorer.name} is not differentiable, which the objective reward "
            "needs; choose another scorer, or collect with a method that searches and train with objective=regression"
        )


def _objective(config: RunConfig, model: "DiffusionModel | None", device: "torch.device") -> "Objective":
    from goldennoise.methods.search.selector import Selector
    from goldennoise.training.objectives.regression import Reward, gain_weighted, regression

    stage: Config = config.stage
    chosen = _reward_scorer(config)
    if chosen is None:
        return gain_weighted if stage.objective == "gain_weighted" else regression
    assert model is not None, "every process has the model for this objective"
    scorer = scorers.component(chosen.kind).build(chosen, device)
    return Reward(model, Selector(scorer), stage.reward_steps, stage.reward_weight)


def _finish(draft: Draft) -> Artifact:
    """Checkpoints and frozen inputs were for resuming only."""
    shutil.rmtree(draft.path / WORK, ignore_errors=True)
    counts = read_json(draft.path / OUTCOME)
    artifact = draft.commit(counts)
    print(
        f"{artifact.reference}: validation loss {counts['val_loss']:.5g} at epoch {counts['best_epoch']} of "
        f"{counts['epochs']}; predicting the source itself: {counts['identity_val_loss']:.5g}"
    )
    return artifact
