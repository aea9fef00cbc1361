"""Stages: each reads artifacts and writes one.

A stage is one module here that defines a `Config` and `run(config) -> Artifact`; `all` is put together from the others
by the command line. `demo_app` serves a page, which writes artifacts as it is used; `fetch` writes prompt files;
`list`, `selftest` and `verify` only print.
"""

import pkgutil
from pathlib import Path
from types import ModuleType

from goldennoise.runtime import registry


def kinds() -> list[str]:
    """Names of the stages: read from the sources, because importing one may load torch."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in names if "\nclass Config" in Path(__path__[0], f"{name}.py").read_text("utf-8")]


def component(kind: str) -> ModuleType:
    """The module of a stage. Raises `ConfigError` for one that does not exist."""
    return registry.component(__name__, "stage", kind, kinds())
