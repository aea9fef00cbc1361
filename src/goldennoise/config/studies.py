"""Sweeps by Optuna: the same command line continues the study that it began, until it has all its trials.

Hydra's plugin would run all trials once more and leave the one that was interrupted as it is. So before Hydra starts,
this reads the study and tells the plugin what is left.
"""

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString
from omegaconf import DictConfig

from goldennoise.config.files import conf_folder
from goldennoise.config.messages import COMPOSITION_ERRORS, as_sentence
from goldennoise.errors import ConfigError, one_line, require, shortened
from goldennoise.store.artifacts import allowed_name
from goldennoise.store.drafts import Lock
from goldennoise.store.paths import expanded

if TYPE_CHECKING:
    import optuna

_HOW = ("compute", "logger", "outputs", "dry_run")
"""Options that decide no result: a study goes on whatever they are."""
_DIRECTIONS = ("minimize", "maximize")
RefuseUnfit = Callable[[DictConfig, Sequence[str]], None]
"""Raises `ConfigError` for what a job would refuse. Given the config of one, with Hydra's, and the swept options."""


@dataclass(frozen=True)
class Study:
    """A study that a command line begins or continues; a context manager that gives it back to other commands.

    overrides: for Hydra. num_trials: how many complete ones the command asks for. held: None for a storage of others.
    """

    metric: str
    overrides: Sequence[str]
    num_trials: int
    held: Lock | None
    _study: "optuna.Study" = field(repr=False)

    @property
    def num_complete(self) -> int:
        """Trials that gave a number."""
        return len(_trials(self._study, "COMPLETE"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.held is not None:
            self.held.release()

    def __str__(self) -> str:
        """The best trial, with its parameters as overrides."""
        name = f"study {self._study.study_name}"
        if not self.num_complete:
            return f"{name}: no trial is complete"
        best = self._study.best_trial
        options = " ".join(f"{key}={value}" for key, value in best.params.items())
        return f"{name}: {self.num_complete} trials, the best has {self.metric} = {best.value:.6g} with {options}"


def study_of(overrides: Sequence[str], refuse_unfit: RefuseUnfit) -> Study | None:
    """The study of a sweep's overrides; None unless hydra/sweeper=optuna is among them.

    What was running when an earlier command was stopped runs first, with the same parameters.
    Raises `ConfigError` for what cannot be swept so, what `refuse_unfit` raises, and for a study that cannot be read.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    if not any(one.key_or_group == "hydra/sweeper" and one.value() == "optuna" for one in parsed):
        return None
    # With a launcher that runs one job after the other, a trial learns from the one before.
    first = [] if any(one.key_or_group == "hydra/launcher" for one in parsed) else ["hydra.sweeper.n_jobs=1"]
    config = _composed([*first, *map(_one_value, parsed)])
    metric, sweeper = _refuse_unfit(config), config.hydra.sweeper
    swept = [*(one.key_or_group for one in parsed if one.is_sweep_override()), *(sweeper.params or ())]
    if not swept:
        raise ConfigError(
            "hydra/sweeper=optuna: no option is swept; give one a space, as in "
            "'stage.learning_rate=tag(log, interval(1e-5, 1e-2))'"
        )
    with _initialised():
        refuse_unfit(config, swept)
    given = any(one.key_or_group == "hydra.sweeper.direction" for one in parsed)
    direction = _direction(sweeper.direction) if given else _DIRECTIONS[" of " in metric]
    name = sweeper.study_name or f"{config.name}-{_digest(parsed, sweeper, direction)}"
    storage, held = (sweeper.storage, None) if sweeper.storage else _own_storage(config.outputs, name)
    study = _opened(name, storage, direction)
    with _quiet():
        _requeue(study)
    left = max(0, sweeper.n_trials - len(_trials(study, "COMPLETE")))
    told = {"study_name": name, "storage": storage, "direction": direction, "n_trials": left}
    if "seed" in sweeper.sampler:
        # A sampler of the same seed would propose again what it proposed before the stop.
        seed = config.seed if sweeper.sampler.seed is None else sweeper.sampler.seed
        told["sampler.seed"] = seed + len(study.trials)
    last = [f"hydra.sweeper.{key}={_quoted(value)}" for key, value in told.items()]
    return Study(metric, [*first, *overrides, *last], sweeper.n_trials, held, study)


def _initialised() -> Any:
    return hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder()))


def _composed(overrides: Sequence[str]) -> DictConfig:
    """The config of one job."""
    try:
        with _initialised():
            return hydra.compose("config", overrides=list(overrides), return_hydra_config=True)
    except COMPOSITION_ERRORS as error:
        raise ConfigError(as_sentence(error, overrides)) from None


def _one_value(one: Override) -> str:
    """An override with a value of its space: the first of a list, the middle of an interval."""
    if not one.is_sweep_override():
        return str(one.input_line)
    key, space = str(one.input_line).partition("=")[0], one.value()
    if not isinstance(space, IntervalSweep):
        return f"{key}={next(iter(one.sweep_string_iterator()))}"
    low, high, is_log = space.start, space.end, "log" in space.tags
    if low is None or high is None or not low < high or (is_log and low <= 0):
        above = ", above 0" if is_log else ""
        raise ConfigError(f"{one.input_line}: an interval has two numbers{above}, the lower one first")
    if isinstance(low, int) and isinstance(high, int):
        return f"{key}={low}"
    return f"{key}={math.sqrt(low * high) if is_log else (low + high) / 2}"


def _refuse_unfit(config: DictConfig) -> str:
    """The number that is optimised. Raises `ConfigError` for a config that gives none, and for grids."""
    stage, sweeper = config.stage, config.hydra.sweeper
    own = [stage.get("objective_metric")]
    if stage.kind == "all":
        key = "stage.objective_metric="
        own = [part.removeprefix(key) for entry in stage.stages for part in entry.split() if part.startswith(key)]
    metric = next((one for one in reversed(own) if one), None)
    if metric is None:
        raise ConfigError(
            "hydra/sweeper=optuna: needs a number to optimise; set stage.objective_metric=val_loss of stage=train, "
            'val_error of train_model or distil, or "SCORER of METHOD" of eval'
        )
    if config.dry_run:
        raise ConfigError("dry_run=true: hydra/sweeper=optuna needs results; leave hydra/sweeper=optuna out")
    if str(sweeper.sampler.get("_target_")).endswith(".GridSampler"):
        raise ConfigError(
            "hydra/sweeper/sampler=grid: -m alone runs every combination, and goes on where it stopped; leave "
            "hydra/sweeper=optuna out"
        )
    require(sweeper.n_trials >= 1, "hydra.sweeper.n_trials", sweeper.n_trials, "at least 1")
    require(sweeper.n_jobs >= 1, "hydra.sweeper.n_jobs", sweeper.n_jobs, "at least 1")
    return str(metric)


def _direction(chosen: Any) -> str:
    name = getattr(chosen, "name", chosen)
    require(name in _DIRECTIONS, "hydra.sweeper.direction", name, f"{' or '.join(_DIRECTIONS)}, of one number")
    return str(name)


def _digest(parsed: Sequence[Override], sweeper: DictConfig, direction: str) -> str:
    """Of what a command line decides of results: with another space or other options begins another study."""
    chosen = [
        str(one.input_line)
        for one in parsed
        if one.key_or_group.partition(".")[0] not in _HOW and not one.key_or_group.startswith("hydra")
    ]
    text = "\n".join([*sorted(chosen), str(sweeper.params), direction])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _own_storage(outputs: str, name: str) -> tuple[str, Lock]:
    """The database of a study in `outputs`; two commands at once would each take the other's trials for stopped."""
    require((allowed := allowed_name(name)) is None, "hydra.sweeper.study_name", name, str(allowed))
    folder = Path(os.path.relpath(expanded(outputs))) / "sweeps"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder.absolute()} cannot be made ({error.strerror}): choose a folder with outputs=DIR"
        ) from None
    return f"sqlite:///{folder / name}.db", Lock(folder / f".{name}.db.lock")


def _opened(name: str, storage: Any, direction: str) -> "optuna.Study":
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
    except (optuna.exceptions.OptunaError, SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"hydra.sweeper.storage={shortened(storage)}: Optuna cannot open the study {shortened(name)} there "
            f"({one_line(str(error), 200)}); choose another storage or study_name, or leave both out"
        ) from None


def _requeue(study: "optuna.Study") -> None:
    """Trials that were running when their command was stopped wait to be run again."""
    import optuna

    waiting = [trial.system_attrs.get("fixed_params") for trial in _trials(study, "WAITING")]
    for trial in _trials(study, "RUNNING"):
        # In this order a stop between the two loses nothing and doubles nothing.
        if trial.params and trial.params not in waiting:
            study.enqueue_trial(trial.params)
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _trials(study: "optuna.Study", state: str) -> "list[optuna.trial.FrozenTrial]":
    return [trial for trial in study.trials if trial.state.name == state]


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna warns that its own queue is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _quoted(value: Any) -> str:
    return QuotedString(value, Quote.double).with_quotes() if isinstance(value, str) else str(value)
