"""train: pairs -> a network, trained to predict their golden noise in one pass."""

import logging
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.config.compose import RunConfig
from goldennoise.diffusion.identity import differences, model_identity
from goldennoise.diffusion.schedules.schedulers import LCM_STEPS
from goldennoise.errors import ArtifactError, ConfigError, ModelError, require
from goldennoise.scorers.protocol import refuse_reporting_only
from goldennoise.stages.job import Job, ScoredBy, opened
from goldennoise.stages.objective import ObjectiveOptions
from goldennoise.stages.training_estimate import training_estimate
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.files import write_json
from goldennoise.store.identity import deciding
from goldennoise.store.options import filled, option
from goldennoise.store.record import read_artifact, read_json
from goldennoise.training import objectives
from goldennoise.training.engine.options import WORK, TrainingOptions
from goldennoise.training.objectives.base import Objective

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

log = logging.getLogger(__name__)

OUTCOME = "training.json"
"""Written when the network is: a run killed between this and the commit has nothing to train any more."""


@dataclass(frozen=True, kw_only=True)
class Config(TrainingOptions, ObjectiveOptions):
    """What to learn from and how."""

    kind: str = "train"
    """Of this stage."""
    pairs: str = option("pairs/shapes@latest", filled("the name of a pairs artifact"))
    """The pairs artifact to learn from."""
    init_network: str | None = option(None, filled('a reference such as "npnet/shapes@latest"'), identity=False)
    """A trained network whose weights training begins with, such as "npnet/shapes@latest" or "packaged/shapes", of the
    same architecture; it may be another model's. Null for new weights."""

    artifact_kind: ClassVar[str] = "npnet"
    """Of these networks."""

    def networks(self) -> tuple[str, ...]:
        """References of the trained networks that the stage uses."""
        return () if self.init_network is None else (self.init_network,)


def run(config: RunConfig) -> Artifact:
    """The npnet artifact of this config: complete already, resumed, or trained, by all processes of the run.

    Raises `ArtifactError` for pairs that are damaged or of another model.
    """
    loss = _fitting_loss(config)
    with opened(config, "npnet") as job:
        pairs = read_artifact(Path(job.executor.decide(lambda: str(_checked_pairs(config, job.store, loss).path))))
        networks = job.networks([config.stage], may_be_others=True)
        decides, refuse_unfit = partial(_identity, config, loss), partial(_refuse_unfit_scorer, job, loss)
        if done := job.begin(decides, [pairs, *networks.values()], refuse_unfit=refuse_unfit):
            return done
        if not job.executor.decide(lambda: _is_trained(job.path, job.damaged)):
            _train(job, loss, pairs, list(networks.values()))
        return job.finish(_finish)


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the npnet artifact, see `stages.dry_run`."""
    loss, stage = _fitting_loss(config), config.stage
    pairs, done = ahead.input(stage.pairs, "pairs"), None
    networks = ahead.networks([stage], may_be_others=True)
    if pairs is not None:
        _refuse_unfit_pairs(config, pairs, loss)
        done = ahead.complete("npnet", partial(_identity, config, loss), [pairs, *networks.values()])
    return training_estimate(config, loss, pairs, done, ahead)


def _is_trained(folder: Path, damaged: Sequence[str]) -> bool:
    """Whether the network is there, whole, and only the commit is left to do. damaged: files that were removed."""
    if damaged:
        # A run that is killed now has to train again, too: the next one is told of no damage.
        (folder / OUTCOME).unlink(missing_ok=True)
    if not (folder / OUTCOME).exists():
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


def _fitting_loss(config: RunConfig) -> type[Objective]:
    """What the network is trained for. Raises `ConfigError` for what cannot be run, before anything is read."""
    loss = _loss(config)
    _refuse_unfit_model(config)
    _refuse_too_many_steps(config, loss)
    if config.stage.frozen_inputs == "compute" and config.compute.num_workers:
        raise ConfigError(
            f"compute.num_workers={config.compute.num_workers}: with stage.frozen_inputs=compute the model encodes the "
            "prompts of each batch in the process that trains; set compute.num_workers=0"
        )
    return loss


def _loss(config: RunConfig) -> type[Objective]:
    """What the network is trained for. Raises `ConfigError` for an objective that does not fit the rest of the run."""
    stage: Config = config.stage
    losses: dict[str, type[Objective]] = {kind: objectives.component(kind).Loss for kind in objectives.kinds()}
    loss, chosen = losses[stage.objective], f"stage.objective={stage.objective}"
    if config.npnet.output not in loss.outputs:
        names = defaultdict(list)
        for kind, other in losses.items():
            for output in other.outputs:
                names[output].append(kind)
        told = (f"networks that draw {output} learn by {', '.join(kinds)}" for output, kinds in sorted(names.items()))
        raise ConfigError(f"{chosen} with npnet.kind={config.npnet.kind}: {'; '.join(told)}")
    scorer_option = loss.scorer_option
    if scorer_option is not None and getattr(stage, scorer_option) not in config.scorer:
        known = ", ".join(config.scorer) or "none"
        raise ConfigError(
            f"stage.{scorer_option}={getattr(stage, scorer_option)}: the objective {stage.objective} needs one of the "
            f"scorers of this run ({known}), which scorer=[...] chooses"
        )
    return loss


def _refuse_unfit_model(config: RunConfig) -> None:
    """Raise ConfigError for a model that a network which learns inside it cannot learn in."""
    if not config.npnet.needs_model:
        return
    why = f"npnet.kind={config.npnet.kind} is trained inside the model"
    if config.model.dtype == "float16":
        raise ConfigError(
            f"model.dtype=float16: {why}, where gradients are too small for float16; set bfloat16 or float32"
        )
    if config.compute.offload:
        raise ConfigError(f"compute.offload=true: {why}, which has to stay on the device; set it to false")


def _refuse_too_many_steps(config: RunConfig, loss: type[Objective]) -> None:
    """Raise ConfigError for a reward through more steps than the sampler has."""
    # Models of installed packages may have no samplers to choose from.
    steps, sampler = config.stage.reward_steps, getattr(config.model, "scheduler", None)
    if "reward_steps" in loss.own_options and sampler == "lcm":
        require(steps <= LCM_STEPS, "stage.reward_steps", steps, f"at most {LCM_STEPS} with model.scheduler=lcm")


def _checked_pairs(config: RunConfig, store: ArtifactStore, loss: type[Objective]) -> Artifact:
    pairs = store.resolve(config.stage.pairs, "pairs")
    _refuse_unfit_pairs(config, pairs, loss)
    pairs.check()
    return pairs


def _refuse_unfit_pairs(config: RunConfig, pairs: Artifact, loss: type[Objective]) -> None:
    changes = differences(pairs.recorded("identity", "model", kind=dict), config.model)
    if changes:
        raise ArtifactError(
            f"{pairs.reference} holds pairs of another model ({'; '.join(changes)}): train with that model, "
            "or choose other pairs with stage.pairs"
        )
    if loss.needs_gains and pairs.recorded("config", "stage", "preference") is None:
        raise ConfigError(
            f"stage.objective={config.stage.objective}: {pairs.reference} was collected with stage.preference=null, so "
            "none has a gain; collect with a preference, or train with objective=regression"
        )


def _identity(config: RunConfig, loss: type[Objective], scored_by: ScoredBy) -> dict[str, Any]:
    """What decides the network: of the options of objectives those of its own alone."""
    own = {name for kind in objectives.kinds() for name in objectives.component(kind).Loss.own_options}
    # The artifact's inputs say which network it begins with, whatever that is called.
    how = {"pairs", "init_network", "frozen_inputs", "objective_metric"}
    left_out = how | own.difference(loss.own_options)
    if config.stage.reward_clip is None:
        left_out.add("reward_clip")  # a reward is what it was before there was one
    options = {name: value for name, value in asdict(config.stage).items() if name not in left_out}
    if loss.scorer_option is not None:
        options[loss.scorer_option] = scored_by([options[loss.scorer_option]])[options[loss.scorer_option]]
    return {
        "stage": options,
        "npnet": deciding(config.npnet),
        "model": model_identity(config.model),
        "seed": config.seed,
    }


def _refuse_unfit_scorer(job: Job, loss: type[Objective]) -> None:
    """Raise `ConfigError` for a scorer that the objective cannot ascend."""
    scorer_option = loss.scorer_option
    if scorer_option is None:
        return
    scorer = job.loader.scorer(getattr(job.config.stage, scorer_option))
    refuse_reporting_only(scorer, f"stage.{scorer_option}")
    if not scorer.differentiable:
        raise ConfigError(
            f"stage.{scorer_option}={scorer.name}: {scorer.name} is not differentiable, which the objective "
            f"{job.config.stage.objective} needs; choose another scorer, or collect with a method that searches and "
            "train with objective=regression"
        )


def _train(job: Job, loss: type[Objective], pairs: Artifact, init: Sequence[Artifact]) -> None:
    """init: the network to begin with, or none."""
    # Lightning takes seconds to load: only now is it certain that there is something to train.
    from goldennoise.data.pairs.reader import PairReader
    from goldennoise.networks.checkpoint import load_npnet, save_npnet
    from goldennoise.training.engine import loggers
    from goldennoise.training.engine.fit import Training, train_npnet
    from goldennoise.training.engine.trainer import Setting

    config, processes, folder = job.config, job.processes, job.path
    device, origin = config.compute.torch_device(), _origin(config, loss, pairs, init)
    version = job.reference.removeprefix("npnet/")
    log_folder = Path(config.outputs) / "logs" / "train" / version
    needs_model = loss.needs_model or config.npnet.needs_model or config.stage.frozen_inputs == "compute"
    model = job.loader.model if processes.is_first or needs_model else None
    scorer = None if loss.scorer_option is None else job.loader.scorer(getattr(config.stage, loss.scorer_option))
    objective = loss(config.stage, model, scorer)
    with loggers.opened(config.logger, log_folder, version, processes.is_first) as chosen:
        setting = Setting(device, processes, config.compute.num_workers, config.compute.batch_size, chosen)
        reader = PairReader(pairs.path)
        training = Training(reader, model, config.npnet, config.stage, objective, folder, config.seed, setting)
        network, counts = train_npnet(training, *(load_npnet(begun.path) for begun in init))

    def save() -> None:
        save_npnet(network, folder, origin | counts.as_record())
        write_json(folder / OUTCOME, counts.as_record())

    processes.from_first(save)


def _origin(config: RunConfig, loss: type[Objective], pairs: Artifact, init: Sequence[Artifact]) -> dict[str, Any]:
    """What a network says of itself wherever it goes: the model it is for, what it learnt from and how."""
    stage: Config = config.stage
    prompts = {part: pairs.recorded("config", "prompts", part) for part in ("path", "kind", "split")}
    (method,) = pairs.recorded("config", "method", kind=dict) or ("",)
    origin = {
        "model": model_identity(config.model),
        "data": pairs.reference,
        "prompt_set": prompts["path"] or f"{prompts['kind']}, {prompts['split']}",
        "teacher": pairs.recorded("config", "method", method, "kind", kind=str),
        "objective": stage.objective,
        **({"begun_with": init[0].reference} if init else {}),
    }
    if loss.scorer_option is not None:
        return origin | {loss.scorer_option: getattr(stage, loss.scorer_option)}
    preference = pairs.recorded("config", "stage", "preference")
    if preference is None:
        return origin
    return origin | {"preference": preference, "margin": pairs.recorded("config", "stage", "margin")}


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
