"""Scorers, one file each."""

from types import ModuleType

from goldennoise import registry


def kinds() -> list[str]:
    """Every scorer there is, by name."""
    return registry.kinds(__name__, parts=("batch", "protocol"))


def component(kind: str) -> ModuleType:
    """The scorer's module, with its `Config` and `build(config, device)`; ConfigError for an unknown name."""
    return registry.component(__name__, "scorer", kind, kinds())
