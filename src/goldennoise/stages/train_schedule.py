"""train_schedule: prompts and a scorer -> a network that predicts the sampler's next noise level (TPDM)."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from goldennoise import scorers
from goldennoise.config.benchmarks import benchmark_sets
from goldennoise.config.compose import RunConfig
from goldennoise.data.prompts import Prompt, load_training_prompts, prompts_digest
from goldennoise.diffusion.evaluations import Amount
from goldennoise.diffusion.identity import model_identity
from goldennoise.diffusion.schedules.schedulers import WALKED_OPTIONS
from goldennoise.errors import ConfigError
from goldennoise.scorers.protocol import refuse_reporting_only
from goldennoise.stages.job import Job, ScoredBy, opened
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.files import write_json
from goldennoise.store.identity import deciding
from goldennoise.store.options import number, option
from goldennoise.store.record import read_json
from goldennoise.training.engine.options import WORK
from goldennoise.training.time_prediction.options import TimePredictionOptions

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

OUTCOME = "training.json"
"""Written last: a run killed between this and the commit has nothing to train any more."""


@dataclass(frozen=True, kw_only=True)
class Config(TimePredictionOptions):
    """Which prompts, and how the network is trained."""

    kind: str = "train_schedule"
    """Of this stage."""
    num_prompts: int | None = option(None, number(least=2))
    """The first so many of the prompt set, those of num_validation included; null for all."""


def run(config: RunConfig) -> Artifact:
    """The schedule artifact of this config: complete already, resumed, or trained.

    Raises `ConfigError` for a scorer, a sampler or prompts that do not fit.
    """
    prompts, num_left_out = _prompts(config)
    with opened(config, "schedule") as job:
        decides = partial(_identity, config, prompts)
        if done := job.begin(decides, refuse_unfit=lambda: _refuse_unfit_scorer(job)):
            return done
        if not (job.path / OUTCOME).is_file() or job.damaged:
            _train(job, prompts)
        return job.finish(lambda draft: _finish(draft, num_left_out))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the schedule artifact, see `stages.dry_run`."""
    stage, (prompts, _) = config.stage, _prompts(config)
    done = ahead.complete("schedule", partial(_identity, config, prompts))
    chains = stage.num_updates * stage.prompts_per_update * stage.num_rollouts
    counts = {"prompts": len(prompts), "of them held out": stage.num_validation, "updates": stage.num_updates}
    counts |= {"chains": chains, "steps of the optimiser": stage.num_updates * stage.num_epochs}
    each = Amount(1, stage.max_steps) * ahead.sampling().passes()
    evaluations = each * (chains + stage.num_validation)
    return ahead.estimate("schedule", done, counts, evaluations=evaluations, memory=ahead.memory)


def _prompts(config: RunConfig) -> tuple[list[Prompt], int]:
    """Those to learn from and to validate on, and how many held-out ones were taken out of the set.

    Raises `ConfigError` where they or the config do not fit.
    """
    _refuse_unfit(config)
    prompts, num_left_out = load_training_prompts(config.prompts, config.stage.num_prompts, benchmark_sets())
    if len(prompts) <= config.stage.num_validation:
        raise ConfigError(
            f"stage.num_validation={config.stage.num_validation}: of {len(prompts)} prompts none is left to learn "
            "from; set fewer, or take more prompts"
        )
    if (left := len(prompts) - config.stage.num_validation) < config.stage.prompts_per_update:
        raise ConfigError(
            f"stage.prompts_per_update={config.stage.prompts_per_update}: only {left} prompts are left to learn from, "
            "and those of an update are all different; set fewer, or take more prompts"
        )
    return prompts, num_left_out


def _identity(config: RunConfig, prompts: Sequence[Prompt], scored_by: ScoredBy) -> dict[str, Any]:
    options = deciding(config.stage)
    reward = options["reward_scorer"]
    return {
        "stage": options | {"num_prompts": len(prompts), "reward_scorer": scored_by([reward])[reward]},
        "model": model_identity(config.model),
        "prompts": prompts_digest(prompts, scorers.columns_read(config.scorer)),
        "seed": config.seed,
    }


def _refuse_unfit(config: RunConfig) -> None:
    """Raise ConfigError for what cannot be run, before anything is read or loaded."""
    reward, known = config.stage.reward_scorer, ", ".join(config.scorer) or "none"
    if reward not in config.scorer:
        raise ConfigError(
            f"stage.reward_scorer={reward}: reward_scorer must be one of the scorers of this run ({known}), which "
            "scorer=[...] chooses"
        )
    if config.compute.compile:
        raise ConfigError("compute.compile=true: a learned schedule reads the denoiser's features; set it to false")
    if config.model.scheduler not in WALKED_OPTIONS:
        raise ConfigError(
            f"model.scheduler={config.model.scheduler}: a learned schedule is walked in the steps of ddim or "
            "flow_euler; set one of these"
        )
    if config.compute.devices != 1:
        raise ConfigError(
            f"compute.devices={config.compute.devices}: train_schedule runs in one process on one device; set "
            "compute.devices=1"
        )


def _refuse_unfit_scorer(job: Job) -> None:
    refuse_reporting_only(job.loader.scorer(job.config.stage.reward_scorer), "stage.reward_scorer")


def _train(job: Job, prompts: Sequence[Prompt]) -> None:
    # Torch loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.methods.search.selector import Selector
    from goldennoise.methods.time_prediction import LEVELS
    from goldennoise.networks.time_predictor.checkpoint import save_time_predictor
    from goldennoise.runtime.progress import Progress
    from goldennoise.training.time_prediction.levels import chosen_levels, shared_levels
    from goldennoise.training.time_prediction.loop import Training, train_time_predictor

    config, stage = job.config, job.config.stage
    held_out, learnt = prompts[: stage.num_validation], prompts[stage.num_validation :]
    selector = Selector(job.loader.scorer(stage.reward_scorer))
    batch_size = config.compute.batch_size
    training = Training(job.loader.model, selector, learnt, stage, job.path, config.seed, batch_size)
    with Progress("train_schedule", stage.num_updates, "updates") as progress:

        def on_update(row: dict[str, float]) -> None:
            progress.note(f"score {row['score']:.4g}, {row['num_steps']:.1f} steps")
            progress.update(int(row["update"]) - progress.num_done)

        network = train_time_predictor(training, on_update)
    chosen = chosen_levels(job.loader.model, network, held_out, stage, config.seed, batch_size)
    shared = shared_levels(chosen)
    write_json(job.path / LEVELS, {"shared": [shared], "chosen": chosen})
    origin = {"model": model_identity(config.model), "reward_scorer": stage.reward_scorer}
    save_time_predictor(network, job.path, origin)
    steps = sum(len(levels) - 1 for levels in chosen) / len(chosen)
    counts = {"updates": stage.num_updates, "prompts": len(learnt), "validation_prompts": len(held_out)}
    write_json(job.path / OUTCOME, counts | {"mean_steps": steps, "shared_steps": len(shared) - 1})


def _finish(draft: Draft, num_left_out: int) -> Artifact:
    """The checkpoint was for resuming only. num_left_out: prompts of the set that nothing may be trained on."""
    shutil.rmtree(draft.path / WORK, ignore_errors=True)
    counts = read_json(draft.path / OUTCOME)
    artifact = draft.commit(counts | {"left_out_prompts": num_left_out})
    left_out = f"; prompts of prompts.held_out left out: {num_left_out}" if num_left_out else ""
    print(
        f"{artifact.reference}: {counts['mean_steps']:.1f} steps for {counts['validation_prompts']} held-out prompts, "
        f"the shared schedule has {counts['shared_steps']}{left_out}"
    )
    return artifact
