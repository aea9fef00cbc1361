"""Components by name: a config's `kind` names the file in a package, so a new component is one new file.

An installed package adds a component by an entry point. Its group is the name of the package here that it adds to, such
as `goldennoise.methods`; its name is the kind and its value the module.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from goldennoise.errors import ConfigError, nearest, shortened


@cache
def installed(group: str) -> list[tuple[str, EntryPoint]]:
    """The entry points of a group, each after the name of the installed package that has it; imports none of them."""
    found = [(entry.dist.name, entry) for entry in entry_points(group=group) if entry.dist is not None]
    return sorted(found, key=lambda named: named[0])


def kinds(package: str, parts: Sequence[str]) -> list[str]:
    """The components of a package: its modules but for the `parts` they share, and those of installed packages.

    Raises:
        ConfigError: two packages have a component of the same name.
    """
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    owners = {module.name: "goldennoise" for module in modules if module.name not in parts}
    for owner, entry in installed(package):
        if (other := owners.setdefault(entry.name, owner)) != owner:
            raise ConfigError(
                f"the packages {other} and {owner} both have {entry.name} in {package}: uninstall {owner}, or change "
                "the name of its entry point"
            )
    return sorted(owners)


def component(package: str, noun: str, kind: str, known: Sequence[str]) -> ModuleType:
    """The module of one component; it holds a `Config` and what builds from it.

    Raises:
        ConfigError: `kind` is not among the known ones, or the module of an installed package cannot be imported.
    """
    if kind not in known:
        raise ConfigError(
            f"there is no {noun} called {shortened(kind)}; choose from {', '.join(known)}{nearest(kind, known)}"
        )
    for owner, entry in installed(package):
        if entry.name == kind:
            return _loaded(owner, entry)
    return importlib.import_module(f"{package}.{kind}")


def _loaded(owner: str, entry: EntryPoint) -> ModuleType:
    try:
        module: ModuleType = entry.load()
    except Exception as error:
        # A module of somebody else's may raise anything.
        why = shortened(f"{type(error).__name__}: {error}", 200)
        raise ConfigError(
            f"{entry.name}: its module {entry.value} in the package {owner} cannot be imported ({why}); mend or "
            f"uninstall {owner}"
        ) from error
    return module
