"""Where the YAML options lie, and which there are."""

from pathlib import Path

from goldennoise.store.paths import packaged


def conf_folder() -> Path:
    """Inside an installed package, beside src/ in the source tree."""
    return packaged("conf")


def options(group: str) -> list[str]:
    """The options of a group such as "method", sorted."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
