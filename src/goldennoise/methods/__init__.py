"""What turns source noise into the noise that sampling starts from.

A method is one module here with a `Config` and `build(config, tools)`.
"""

from types import ModuleType

from goldennoise import registry


def kinds() -> list[str]:
    """Names of the methods."""
    return registry.kinds(__name__, parts=("protocol", "selection"))


def component(kind: str) -> ModuleType:
    """The module of a method. Raises `ConfigError` for one that does not exist."""
    return registry.component(__name__, "kind of method", kind, kinds())
