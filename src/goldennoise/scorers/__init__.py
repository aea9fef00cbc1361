"""Scorers, one file each."""

from collections.abc import Mapping
from dataclasses import field, fields
from types import ModuleType
from typing import TYPE_CHECKING, Any

from goldennoise.runtime import registry

if TYPE_CHECKING:
    from torch import device

    from goldennoise.scorers.protocol import Scorer


PARTS = ("batch", "isolated", "networks", "options", "protocol")
"""Modules that scorers share; every other is a scorer."""


def undeciding(**settings: Any) -> Any:
    """`dataclasses.field` for an option that says how or from where a scorer runs: no score depends on it."""
    return field(metadata={"decides": False}, **settings)


def kinds() -> list[str]:
    """Every scorer there is, by name."""
    return registry.kinds(__name__, parts=PARTS)


def component(kind: str) -> ModuleType:
    """The scorer's module, with its `Config` and `build(config, device)`; ConfigError for an unknown name."""
    return registry.component(__name__, "scorer", kind, kinds())


def built(configs: Mapping[str, Any], device: "device") -> "dict[str, Scorer]":
    """The scorer of every config on `device`, by the config's name; raises what their `build` raises."""
    return {name: component(config.kind).build(config, device) for name, config in configs.items()}


def identity(config: Any, scorer: "Scorer") -> dict[str, Any]:
    """What decides the scores: the options of `config` that do, and the version of the scorer built from it."""
    deciding = [option.name for option in fields(config) if option.metadata.get("decides", True)]
    return {name: getattr(config, name) for name in deciding} | {"version": scorer.version}
