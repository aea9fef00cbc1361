"""Where the YAML options lie, and which there are."""

from pathlib import Path


def conf_folder() -> Path:
    """Inside an installed package, beside src/ in the source tree."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def options(group: str) -> list[str]:
    """The options of a group such as "method", sorted."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
