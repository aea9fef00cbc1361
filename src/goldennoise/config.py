"""The typed configuration of a run, composed from conf/ and the command line.

Only this module and `config_mistakes` know Hydra.
"""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from goldennoise.artifacts import check_name
from goldennoise.conf_files import conf_folder, options
from goldennoise.config_mistakes import COMPOSITION_ERRORS, as_sentence, must_be, unknown_choice, unknown_option
from goldennoise.errors import ConfigError, GoldenNoiseError, require

if TYPE_CHECKING:
    from goldennoise.compute import ComputeConfig
    from goldennoise.npnet.config import ArchitectureConfig, LayoutArchitecture
    from goldennoise.prompts import PromptsConfig
    from goldennoise.training.loggers import LoggerConfig

REGISTRIES = {
    "stage": "goldennoise.stages",
    "model": "goldennoise.diffusion",
    "scorer": "goldennoise.scorers",
    "method": "goldennoise.methods",
}
FIXED = {
    "prompts": ("goldennoise.prompts", "PromptsConfig"),
    "compute": ("goldennoise.compute", "ComputeConfig"),
    "logger": ("goldennoise.training.loggers", "LoggerConfig"),
}
MANY = ("scorer", "method")

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _Names:
    name: str = "shapes"
    version: str = "auto"
    outputs: str = "outputs"
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.name, self.version)
        require(bool(self.outputs), "outputs", "''", "a folder")
        require(0 <= self.seed < 2**63, "seed", self.seed, "at least 0 and below 2**63")


@dataclass(frozen=True, kw_only=True)
class RunConfig(_Names):
    """Everything one run is decided by; `scorer` and `method` map option names, which are display names, to configs.

    name, version: of the artifact that is made. outputs: folder of all artifacts. seed: the root of all randomness.
    """

    stage: Any
    model: Any
    prompts: "PromptsConfig"
    scorer: dict[str, Any]
    npnet: "ArchitectureConfig | LayoutArchitecture"
    method: dict[str, Any]
    compute: "ComputeConfig"
    logger: "LoggerConfig"


def load(overrides: Sequence[str] = ()) -> RunConfig:
    """The config of `python -m goldennoise <overrides>`; `ConfigError` for every mistake in them."""
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
            composed = hydra.compose("config", overrides=list(overrides))
    except COMPOSITION_ERRORS as error:
        raise ConfigError(as_sentence(error, overrides)) from None
    return typed(composed)


def typed(composed: DictConfig) -> RunConfig:
    """Composed YAML as dataclasses. Raises `ConfigError` for what the dataclasses do not have or do not allow."""
    try:
        container = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(as_sentence(error)) from None
    assert isinstance(container, dict)
    values = {str(key): value for key, value in container.items()}
    names = [field.name for field in fields(RunConfig)]
    for key, value in values.items():
        if key not in names:
            raise ConfigError(unknown_option(key, value, names))
    own = fill("", _Names, {field.name: values[field.name] for field in fields(_Names) if field.name in values})
    parts: dict[str, Any] = {"npnet": _architecture(_group(values, "npnet"))}
    for key, (module, class_name) in FIXED.items():
        parts[key] = fill(key, getattr(importlib.import_module(module), class_name), _group(values, key))
    for key in REGISTRIES:
        if key in MANY:
            chosen = values.get(key) or {}
            parts[key] = {option: _component(key, f"{key}.{option}", part) for option, part in chosen.items()}
        else:
            parts[key] = _component(key, key, _group(values, key))
    return RunConfig(**parts, **vars(own))


def fill(key: str, config_class: type[T], values: Mapping[str, Any]) -> T:
    """An instance of a config dataclass from plain values; a `ConfigError` names the option as `key`.option."""
    prefix = f"{key}." if key else ""
    hints = get_type_hints(config_class)
    names = [field.name for field in fields(config_class)]  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in names:
            raise ConfigError(unknown_option(f"{prefix}{name}", value, names))
        if hints[name] is bool and not isinstance(value, bool):
            # OmegaConf would take 3 or "on" for true.
            raise ConfigError(must_be(f"{prefix}{name}", value, bool))
    try:
        filled = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config_class), dict(values)))
    except MissingMandatoryValue:
        missing = next(name for name in names if values.get(name, "???") == "???")
        raise ConfigError(f"{prefix}{missing} is not set: give it with {prefix}{missing}=VALUE") from None
    except OmegaConfBaseException as error:
        name = (error.full_key or "").partition(".")[0].partition("[")[0]
        if name not in names:
            raise ConfigError(f"{key}: {as_sentence(error)}") from None
        raise ConfigError(must_be(f"{prefix}{name}", values.get(name), hints[name])) from None
    except ConfigError as error:
        raise ConfigError(_with_key(key, error, names)) from None
    assert isinstance(filled, config_class)
    return filled


def _with_key(key: str, error: ConfigError, names: Sequence[str]) -> str:
    """The message under the full key; dataclasses know only their own field names."""
    about_field = str(error).partition("=")[0].partition(".")[0] in names
    separator = "." if about_field else ": "
    return f"{key}{separator}{error}" if key else str(error)


def _group(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = values.get(key)
    if not isinstance(part, Mapping):
        raise ConfigError(f"{key} is not chosen: set it with {key}=OPTION, one of {', '.join(options(key))}")
    return part


def _component(group: str, key: str, values: object) -> Any:
    kind = values.get("kind") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(kind, str):
        raise ConfigError(
            f"{key}={values}: {key} has no kind; choose it with {group}=OPTION, one of {', '.join(options(group))}"
        )
    registry = importlib.import_module(REGISTRIES[group])
    if kind not in registry.kinds():
        raise ConfigError(unknown_choice(f"{key}.kind", kind, registry.kinds()))
    return fill(key, registry.component(kind).Config, values)


def _architecture(values: Mapping[str, Any]) -> Any:
    from goldennoise.npnet.config import ARCHITECTURES

    kind = str(values.get("kind", "npnet"))
    if kind not in ARCHITECTURES:
        raise ConfigError(unknown_choice("npnet.kind", kind, list(ARCHITECTURES)))
    return fill("npnet", ARCHITECTURES[kind], values)


def launch(task: Callable[[RunConfig], None], complain: Callable[[GoldenNoiseError], None]) -> bool:
    """Run `task` for the command line's config, or for each of a sweep's; whether all went well.

    A mistake inside a job goes to `complain`, and a sweep goes on with its next job; a sweep on several devices is
    refused (exit code 2). Raises `ConfigError` for a command line that cannot be composed.
    """
    failed: list[GoldenNoiseError] = []
    started = False

    def job(composed: DictConfig) -> None:
        nonlocal started
        started = True
        try:
            _refuse_other_recipe(HydraConfig.get().runtime.choices)
            config = typed(composed)
            if HydraConfig.get().mode == RunMode.MULTIRUN and config.compute.devices > 1:
                complain(_sweep_refusal(config.compute.devices))
                # The one kind of exit that Hydra does not keep until the other jobs have run.
                sys.exit(2)
            for part in _stages(config):
                task(part)
        except GoldenNoiseError as error:
            log.info("error: %s", error)
            complain(error)
            failed.append(error)

    # Hydra's parser takes -m only before the first override; people write it anywhere.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))
    # Hydra then raises what goes wrong instead of printing it and leaving with code 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(job)()
    except COMPOSITION_ERRORS as error:
        if started:
            raise
        raise ConfigError(as_sentence(error, sys.argv[1:])) from None
    except OSError as error:
        if started:
            raise
        raise ConfigError(
            f"{error.filename} cannot be made ({error.strerror}): choose a folder with outputs=DIR"
        ) from None
    return not failed


def _stages(config: RunConfig) -> list[RunConfig]:
    """The config itself; for stage=all those of its stages, all of them checked before the first runs."""
    if config.stage.kind != "all":
        return [config]
    overrides = [part for part in HydraConfig.get().overrides.task if not part.startswith(("stage=", "stage.stages="))]
    parts = []
    for stage in config.stage.stages:
        chosen = [*overrides, f"stage={stage}"]
        _refuse_other_recipe({**HydraConfig.get().runtime.choices, "stage": stage})
        try:
            parts.append(typed(hydra.compose("config", overrides=chosen)))
        except COMPOSITION_ERRORS as error:
            raise ConfigError(as_sentence(error, chosen)) from None
    return parts


def _refuse_other_recipe(choices: Mapping[str, str | None]) -> None:
    """Raise `ConfigError` for a stage that the experiment has by another name: its sizes would be left out unsaid."""
    experiment, stage = choices.get("experiment"), str(choices.get("stage"))
    own = [file.stem for file in sorted((conf_folder() / "experiment" / str(experiment)).glob("*.yaml"))]
    meant = [name for name in own if name.partition("_")[0] == stage.partition("_")[0]]
    if meant and stage not in own:
        raise ConfigError(f"stage={stage}: experiment={experiment} has this stage as stage={meant[0]}")


def _sweep_refusal(devices: int) -> ConfigError:
    overrides = " ".join(HydraConfig.get().overrides.task)
    return ConfigError(
        f"compute.devices={devices}: -m runs on one device; start each run by itself: "
        f"torchrun --nproc-per-node {devices} -m goldennoise {overrides}"
    )
