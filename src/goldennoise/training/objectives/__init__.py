"""What a network is trained for: one module each with a `Loss`, an `Objective`. None imports torch when it loads."""

from types import ModuleType

from goldennoise.runtime import registry

PARTS = ("base",)
"""Modules that objectives share; every other is an objective."""


def kinds() -> list[str]:
    """Names of the objectives."""
    return registry.kinds(__name__, parts=PARTS)


def component(kind: str) -> ModuleType:
    """The module of an objective. Raises `ConfigError` for one that does not exist."""
    return registry.component(__name__, "objective", kind, kinds())
