"""Where the YAML options lie, and which there are."""

import importlib.util
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path

from goldennoise.errors import ConfigError
from goldennoise.runtime.registry import installed
from goldennoise.store.paths import packaged


def conf_folder() -> Path:
    """Inside an installed package, beside src/ in the source tree."""
    return packaged("conf")


@cache
def outside_folders() -> dict[Path, str]:
    """The folders of options of other installed packages, each with the package's name; imports none of them.

    An entry point of the group `goldennoise.conf` names such a folder, as "my_noise.conf".

    Raises:
        ConfigError: the folder does not exist, or two packages have an option of the same name.
    """
    folders: dict[Path, str] = {}
    owners = dict.fromkeys(_files(conf_folder()), "goldennoise")
    for owner, entry in installed("goldennoise.conf"):
        folder = _folder(owner, entry)
        for file in _files(folder):
            if (other := owners.setdefault(file, owner)) != owner:
                raise ConfigError(
                    f"the packages {other} and {owner} both have the option {file}: uninstall {owner}, or "
                    "rename its file"
                )
        folders[folder] = owner
    return folders


def options(group: str) -> list[str]:
    """The options of a group such as "method", sorted."""
    return sorted(
        path.stem for folder in (conf_folder(), *outside_folders()) for path in (folder / group).glob("*.yaml")
    )


def _folder(owner: str, entry: EntryPoint) -> Path:
    top, *below = entry.value.split(".")
    spec = importlib.util.find_spec(top)
    for place in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(place, *below)).is_dir():
            return folder
    raise ConfigError(
        f"the package {owner} names {entry.value} as its folder of options, and there is no such folder: mend or "
        f"uninstall {owner}"
    )


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.yaml"))]
