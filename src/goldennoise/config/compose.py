"""The typed configuration of a run, composed from conf/ and the command line.

Only this room and the command line know Hydra.
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, get_origin, get_type_hints

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from goldennoise.config.files import conf_folder, options, outside_folders
from goldennoise.config.messages import (
    COMPOSITION_ERRORS,
    MANY,
    as_sentence,
    must_be,
    not_set,
    readable,
    refuse_number,
    unknown_choice,
    unknown_option,
)
from goldennoise.data.prompts import PromptsConfig
from goldennoise.errors import ConfigError, require, shortened
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.store.artifacts import ArtifactStore, allowed_name, check_name
from goldennoise.store.paths import expanded
from goldennoise.training.engine.loggers import LoggerConfig

REGISTRIES = {
    "stage": "goldennoise.stages",
    "model": "goldennoise.diffusion.families",
    "noise_levels": "goldennoise.diffusion.noise_levels",
    "npnet": "goldennoise.networks",
    "scorer": "goldennoise.scorers",
    "method": "goldennoise.methods",
}
FIXED: dict[str, type] = {"prompts": PromptsConfig, "compute": ComputeConfig, "logger": LoggerConfig}
COLUMNS = ("image", "prompt", "prompt_id", "category", "method", "seed", "scorer", "score", "num_evaluations")
"""Columns of our tables, which have a column per scorer too."""

T = TypeVar("T")
_MODEL = re.compile(r"model/[^/@]+(@[^/@]+)?")
"""A model artifact by its reference, the latest where it names no version."""


@dataclass(frozen=True, kw_only=True)
class _Names:
    """What is the same for every stage."""

    name: str = "shapes"
    """Of the artifact that is made."""
    version: str = "auto"
    """auto, or v1, v2, ..."""
    outputs: str = "outputs"
    """Folder of all artifacts; `~` is the home folder."""
    seed: int = 0
    """The root of all randomness, at least 0 and below 2**63."""
    dry_run: bool = False
    """Tell what the run would make and what that takes, and make nothing."""

    def __post_init__(self) -> None:
        check_name(self.name, self.version)
        object.__setattr__(self, "outputs", _folder(self.outputs))
        require(0 <= self.seed < 2**63, "seed", self.seed, "at least 0 and below 2**63")


@dataclass(frozen=True, kw_only=True)
class RunConfig(_Names):
    """Everything that decides one run."""

    stage: Any
    """Config of the stage."""
    model: Any
    """Config of the frozen text-to-image model."""
    prompts: PromptsConfig
    """Which prompts."""
    scorer: dict[str, Any]
    """Name as displayed -> config."""
    noise_levels: Any
    """Density of the noise levels that a model is trained on."""
    npnet: Any
    """Architecture of the network to train."""
    method: dict[str, Any]
    """Name as displayed -> config."""
    compute: ComputeConfig
    """Where and how it computes."""
    logger: LoggerConfig
    """Where training curves go."""


def _folder(outputs: str) -> str:
    """`outputs` with `~` expanded."""
    require(bool(outputs), "outputs", "''", "a folder")
    return str(expanded(outputs))


def _folder_name(name: str) -> str:
    allowed = allowed_name(name)
    if allowed is not None:
        raise ConfigError(f"{shortened(name)}: the name of a folder must be {allowed}")
    return name


@cache
def _passing() -> "TemporaryDirectory[str]":
    """A folder that goes with this process."""
    return TemporaryDirectory()


# Hydra makes its folder, of whose path these are parts, before `typed` sees the config.
OmegaConf.register_new_resolver("folder", _folder)
OmegaConf.register_new_resolver("folder_name", _folder_name)
OmegaConf.register_new_resolver("unless_dry", lambda dry_run, folder: _passing().name if dry_run is True else folder)


class OutsideFolders(SearchPathPlugin):
    """Hydra finds the options of installed packages after ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder, owner in outside_folders().items():
            search_path.append(owner, f"file://{folder}")


Plugins.instance().register(OutsideFolders)


def load(overrides: Sequence[str] = ()) -> RunConfig:
    """The config of `python -m goldennoise <overrides>`; `ConfigError` for every mistake in them."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        return composed(overrides)


def composed(overrides: Sequence[str]) -> RunConfig:
    """The same where Hydra is initialised already."""
    overrides = readable(overrides)
    try:
        return typed(hydra.compose("config", overrides=overrides))
    except COMPOSITION_ERRORS as error:
        raise ConfigError(as_sentence(error, overrides)) from None


def typed(tree: DictConfig) -> RunConfig:
    """Composed YAML as dataclasses. Raises `ConfigError` for what the dataclasses do not have or do not allow."""
    try:
        container = OmegaConf.to_container(tree, resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(as_sentence(error)) from None
    assert isinstance(container, dict)
    values = {str(key): value for key, value in container.items()}
    names = [field.name for field in fields(RunConfig)]
    for key, value in values.items():
        if key not in names:
            raise ConfigError(unknown_option(key, value, names))
    own = fill("", _Names, {field.name: values[field.name] for field in fields(_Names) if field.name in values})
    parts: dict[str, Any] = {key: fill(key, known, _group(values, key)) for key, known in FIXED.items()}
    for key in REGISTRIES:
        if key in MANY:
            chosen = _named(key, values.get(key) or {})
            parts[key] = {option: _component(key, f"{key}.{option}", part) for option, part in chosen.items()}
        else:
            parts[key] = _component(key, key, _group(values, key))
    return RunConfig(**parts, **vars(own))


def located(config: RunConfig) -> RunConfig:
    """A config as a stage runs it: with folders where `path` and `lora` of its model name artifacts, "model/NAME@v1".

    Raises `ArtifactError` for one that does not exist.
    """
    store = ArtifactStore(config.outputs)
    folders = {name: str(store.resolve(value, "model").path) for name, value in model_artifacts(config).items()}
    return replace(config, model=replace(config.model, **folders)) if folders else config


def model_artifacts(config: RunConfig) -> dict[str, str]:
    """Those of `path` and `lora` of a config's model that are references of artifacts."""
    named = {name: getattr(config.model, name, None) for name in ("path", "lora")}
    return {name: value for name, value in named.items() if value and _MODEL.fullmatch(value)}


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
        if get_origin(hints[name]) is dict and not isinstance(value, Mapping):
            # Of these OmegaConf does not name the option.
            raise ConfigError(must_be(f"{prefix}{name}", value, hints[name]))
        if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
            # OmegaConf would take any parts for those of a tuple.
            raise ConfigError(must_be(f"{prefix}{name}", value, hints[name]))
    try:
        filled = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config_class), dict(values)))
    except MissingMandatoryValue:
        raise ConfigError(not_set(prefix + next(name for name in names if name not in values))) from None
    except OmegaConfBaseException as error:
        name = (error.full_key or "").partition(".")[0].partition("[")[0]
        if name not in names:
            raise ConfigError(f"{key}: {as_sentence(error)}") from None
        raise ConfigError(must_be(f"{prefix}{name}", values.get(name), hints[name])) from None
    except ConfigError as error:
        raise ConfigError(_with_key(key, error, names)) from None
    assert isinstance(filled, config_class)
    for name in names:
        refuse_number(f"{prefix}{name}", getattr(filled, name))
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


def _named(group: str, chosen: object) -> Mapping[str, Any]:
    """The chosen options by their names, which become names of files and of columns."""
    if not isinstance(chosen, Mapping):
        raise ConfigError(must_be(group, chosen, dict))
    spelt: dict[str, str] = {}
    for name in chosen:
        allowed = allowed_name(name)
        if group == "scorer" and name in COLUMNS:
            allowed = f"another: a column of our tables is called {name}"
        if allowed is not None:
            raise ConfigError(f"{group}.{shortened(name)}: the name of a {group} must be {allowed}")
        if (other := spelt.setdefault(name.lower(), name)) != name:
            raise ConfigError(f"{group}.{name}: there is {group}.{other}, which some systems take for the same file")
    return chosen


def _component(group: str, key: str, values: object) -> Any:
    kind = values.get("kind") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(kind, str):
        chosen = f"choose it with {group}=OPTION, one of {', '.join(options(group))}"
        raise ConfigError(f"{key}={shortened(values)}: {key} has no kind; {chosen}")
    registry = importlib.import_module(REGISTRIES[group])
    if kind not in registry.kinds():
        raise ConfigError(unknown_choice(f"{key}.kind", kind, registry.kinds()))
    return fill(key, registry.component(kind).Config, values)
