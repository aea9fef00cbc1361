"""Components by name: a config's `kind` names the file in a package, so a new component is one new file."""

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

from goldennoise.errors import ConfigError, shortened


def kinds(package: str, parts: Sequence[str]) -> list[str]:
    """The components of a package: its modules but for the `parts` they share."""
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return [module.name for module in modules if module.name not in parts]


def component(package: str, noun: str, kind: str, known: Sequence[str]) -> ModuleType:
    """The module of one component; it holds a `Config` and what builds from it.

    Raises:
        ConfigError: `kind` is not among the known ones.
    """
    if kind not in known:
        near = difflib.get_close_matches(kind, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"there is no {noun} called {shortened(kind)}; choose from {', '.join(known)}{hint}")
    return importlib.import_module(f"{package}.{kind}")
