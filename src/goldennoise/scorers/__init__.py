"""Scorers, one file each."""

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from goldennoise.runtime import registry
from goldennoise.scorers.protocol import Scorer
from goldennoise.store.identity import deciding

if TYPE_CHECKING:
    from torch import device

PARTS = ("batch", "isolated", "networks", "options", "protocol", "selftest")
"""Modules that scorers share; every other is a scorer."""


def kinds() -> list[str]:
    """Every scorer there is, by name."""
    return registry.kinds(__name__, parts=PARTS)


def component(kind: str) -> ModuleType:
    """The scorer's module, with its `Config`, `version(config)` and `build(config, device)`.

    One that reads columns of the prompts' metadata has `reads(config)` too, which names them.
    Raises `ConfigError` for an unknown name.
    """
    return registry.component(__name__, "scorer", kind, kinds())


def built(configs: Mapping[str, Any], device: "device") -> dict[str, Scorer]:
    """The scorer of every config on `device`, by the config's name; raises what their `build` raises."""
    return {name: component(config.kind).build(config, device) for name, config in configs.items()}


def identities(configs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What decides the scores of every config, by name: the options that do, and the version of weights and rules.

    The version is the module's `version(config)`, which loads nothing: None where files are not on this machine, or
    where another environment has the scorer.
    """
    return {
        name: deciding(config) | {"version": component(config.kind).version(config)} for name, config in configs.items()
    }


def columns_read(configs: Mapping[str, Any]) -> list[str]:
    """Columns of the prompts' metadata that decide scores, sorted: what `reads(config)` of a scorer's module names."""
    found: set[str] = set()
    for config in configs.values():
        module = component(config.kind)
        found |= set(module.reads(config)) if hasattr(module, "reads") else set()
    return sorted(found)
