"""The command line: `python -m goldennoise stage=collect|train|eval|report|...`, with Hydra's overrides."""

import argparse
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from goldennoise.config.compose import RunConfig, composed, located, typed
from goldennoise.config.files import conf_folder, options
from goldennoise.config.messages import COMPOSITION_ERRORS, as_sentence, readable
from goldennoise.config.studies import Study, study_of
from goldennoise.errors import ConfigError, GoldenNoiseError, one_line, shortened
from goldennoise.runtime.resources import machine_errors

log = logging.getLogger("goldennoise")


def run_stage(config: RunConfig) -> float | None:
    """Run a stage. Returns the number that a sweep goes by, None where the stage has none or none is chosen."""
    from goldennoise.stages import component
    from goldennoise.stages.objective import measured

    with machine_errors():
        artifact = component(config.stage.kind).run(located(config))
        metric = getattr(config.stage, "objective_metric", None)
        found = None if metric is None else measured(artifact, metric)
    if artifact is not None and os.environ.get("RANK", "0") == "0":
        print(f"{artifact.reference}  {artifact.path}")
        if found is not None:
            print(f"{metric} = {found:.6g}")
    return found


def _tell(parts: Sequence[RunConfig]) -> None:
    from goldennoise.stages.dry_run import told

    with machine_errors():
        text = told(parts)
    if os.environ.get("RANK", "0") == "0":
        print(text)


def complain(error: GoldenNoiseError) -> None:
    print(f"error: {one_line(str(error))}", file=sys.stderr)


def main() -> None:
    # Threads that spin for long while they wait slow every other program on the same cores, and threads that sleep at
    # once slow themselves; OpenMP reads it when torch loads.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # A full disk would otherwise print a traceback for every line that cannot be logged.
    logging.raiseExceptions = False
    terminated = _on_sigterm()
    code = 0
    try:
        with machine_errors():
            code = 0 if launch(run_stage, complain) else 2
    except GoldenNoiseError as error:
        complain(error)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except (Exception, SystemExit):
        # What others do when processes of this run end, such as the workers that load data, is no news then.
        if not terminated:
            raise
    if terminated:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        code = 143
    if code in (130, 143) and os.environ.get("RANK", "0") == "0":
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
    sys.exit(code)


def _on_sigterm() -> list[int]:
    """From here on SIGTERM interrupts as Ctrl-C does; the list then has the signal."""
    received: list[int] = []

    def interrupt(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    return received


def launch(task: Callable[[RunConfig], float | None], complain: Callable[[GoldenNoiseError], None]) -> bool:
    """Run `task` for the command line's config, or for each of a sweep's; whether all went well.

    A mistake inside a job goes to `complain`, and a sweep goes on with its next job; a sweep on several devices is
    refused (exit code 2). Raises `ConfigError` for a command line that cannot be composed.
    """
    here, failed = Here(), list[GoldenNoiseError]()

    def job(tree: DictConfig) -> float | None:
        here.started = True
        try:
            return _run_job(tree, task, complain)
        except GoldenNoiseError as error:
            log.info("error: %s", error)
            complain(error)
            failed.append(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                # When the jobs have run, the sweeper learns so that one failed, in whichever process it ran.
                raise
            return None
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                error.add_note(JOB)
            raise

    sys.argv[1:], study = as_arguments(sys.argv[1:])
    # Hydra then raises what goes wrong instead of printing it and leaving with code 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with study or nullcontext():
        if study is None or study.num_complete < study.num_trials:
            try:
                _hydra(job, here)
            except GoldenNoiseError as error:
                # Launchers bring the mistakes of other processes; those of this one are told.
                if error not in failed:
                    raise
        if study is not None:
            print(study)
    return not failed


@dataclass
class Here:
    """Of this process. started: whether a job began in it."""

    started: bool = False


JOB = "Raised by a job of the sweep."
"""Marks what a job raised, whichever process it ran in."""


def _hydra(job: Callable[[DictConfig], float | None], here: Here) -> None:
    """Run `job` as Hydra composes the command line; what is wrong with that becomes a `ConfigError`."""
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(job)()
    except Exception as error:
        if here.started or JOB in getattr(error, "__notes__", ()) or isinstance(error, GoldenNoiseError):
            raise
        told = _told(error)
        if told is None:
            raise
        raise ConfigError(told) from None


def _told(error: Exception) -> str | None:
    """What Hydra raised before any job, in the user's words; None for a defect of ours."""
    # What Hydra makes of its own options is checked by nobody.
    own = [argument for argument in sys.argv[1:] if argument.lstrip("+~").startswith("hydra")]
    if isinstance(error, COMPOSITION_ERRORS):
        return as_sentence(error, sys.argv[1:])
    if isinstance(error, AssertionError | AttributeError | TypeError) and own:
        return f"{shortened(', '.join(own))}: Hydra cannot use its own options so; leave them out"
    if isinstance(error, OSError):
        return f"{shortened(error.filename)} cannot be made ({error.strerror}): choose a folder with outputs=DIR"
    if type(error).__module__.startswith("submitit."):
        return f"a job of the sweep ended without a result: {one_line(str(error), 400)}"
    return None


def _run_job(
    tree: DictConfig, task: Callable[[RunConfig], float | None], complain: Callable[[GoldenNoiseError], None]
) -> float | None:
    """Run the stages of one composed config. Returns the number of the last that has one."""
    # A relative path means the folder that the command was started in, whatever hydra.job.chdir says.
    os.chdir(HydraConfig.get().runtime.cwd)
    _refuse_other_recipe(HydraConfig.get().runtime.choices)
    config = typed(tree)
    if HydraConfig.get().mode == RunMode.MULTIRUN and config.compute.devices > 1:
        refusal = _sweep_refusal(config.compute.devices)
        if HydraConfig.get().runtime.choices["hydra/launcher"] != "basic":
            raise refusal
        complain(refusal)
        # The one kind of exit that Hydra does not keep until the other jobs have run.
        sys.exit(2)
    parts = _stages(config, HydraConfig.get().overrides.task, HydraConfig.get().runtime.choices)
    _refuse_unfit(parts)
    if config.dry_run:
        _tell(parts)
        return None
    numbers = [task(part) for part in parts]
    return next((number for number in reversed(numbers) if number is not None), None)


def _refuse_unfit(parts: Sequence[RunConfig]) -> None:
    """Raise `ConfigError` for what would end one of the stages of a run after others have taken their time."""
    from goldennoise.stages.job import refuse_undealt
    from goldennoise.stages.objective import refuse_unfit_metric

    for part in parts:
        refuse_undealt(part)
        refuse_unfit_metric(part)


def _refuse_unfit_sweep(tree: DictConfig, swept: Sequence[str]) -> None:
    """The same for a sweep by one number, before its study is made. tree: of one job, with Hydra's own config."""
    from goldennoise.stages.objective import refuse_unfit_space

    choices = tree.hydra.runtime.choices
    _refuse_other_recipe(choices)
    config = typed(OmegaConf.masked_copy(tree, [str(key) for key in tree if key != "hydra"]))
    parts = _stages(config, tree.hydra.overrides.task, choices)
    _refuse_unfit(parts)
    for part in parts:
        refuse_unfit_space(part, swept)


def _stages(config: RunConfig, given: Sequence[str], choices: Mapping[str, str | None]) -> list[RunConfig]:
    """The config itself; for stage=all those of its stages, all of them checked before the first runs.

    given: overrides of the run. choices: group -> option, of the run.
    """
    if config.stage.kind != "all":
        return [config]
    overrides = [part for part in given if not part.startswith(("stage=", "stage.stages="))]
    parts = []
    for entry in config.stage.stages:
        stage, *own = entry.split()
        _refuse_other_recipe({**choices, "stage": stage})
        parts.append(composed([*overrides, f"stage={stage}", *own]))
    return parts


def _refuse_other_recipe(choices: Mapping[str, str | None]) -> None:
    """Raise `ConfigError` for a stage that the experiment has by another name: its sizes would be left out unsaid."""
    experiment, stage = choices.get("experiment"), str(choices.get("stage"))
    own = options(f"experiment/{experiment}")
    meant = [name for name in own if name.partition("_")[0] == stage.partition("_")[0]]
    if meant and stage not in own:
        raise ConfigError(f"stage={stage}: experiment={experiment} has this stage as stage={meant[0]}")


def _sweep_refusal(devices: int) -> ConfigError:
    overrides = shlex.join(HydraConfig.get().overrides.task)
    return ConfigError(
        f"compute.devices={devices}: -m runs on one device; start each run by itself: "
        f"torchrun --nproc-per-node {devices} -m goldennoise {overrides}"
    )


def as_arguments(arguments: Sequence[str]) -> tuple[list[str], Study | None]:
    """The command line as Hydra reads it: the overrides, made `readable`, then the flags; and the study of a sweep.

    Raises `ConfigError` for a flag that does not exist, and what `readable` raises.
    """
    # Hydra's parser takes overrides in one piece only; people write flags between them.
    overrides = [argument for argument in arguments if _is_override(argument)]
    flags = [argument for argument in arguments if not _is_override(argument)]
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        known, unknown = parser.parse_known_args(flags)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{shortened(' '.join(flags))}: {error}; --help lists the flags") from None
    if unknown:
        raise ConfigError(f"{shortened(unknown[0])}: there is no such flag; --help lists them")
    if known.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun reads a pickle, which could run code: give the options themselves")
    sweep = known.multirun or any(override.startswith("hydra.mode=MULTIRUN") for override in overrides)
    readable(known.overrides)
    overrides = readable(overrides, sweep)
    if not sweep and (alone := [one for one in overrides if one.startswith(("hydra/sweeper=", "hydra/launcher="))]):
        raise ConfigError(f"{alone[0]}: it acts on a sweep; add -m")
    study = study_of(overrides, _refuse_unfit_sweep) if sweep else None
    return [*(overrides if study is None else study.overrides), *flags], study


def _is_override(argument: str) -> bool:
    return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))


if __name__ == "__main__":
    main()
