"""Where the YAML options lie, and which there are; files that come with the package."""

from pathlib import Path

from goldennoise.errors import ConfigError, shortened


def conf_folder() -> Path:
    """Inside an installed package, beside src/ in the source tree."""
    return _beside("conf")


def options(group: str) -> list[str]:
    """The options of a group such as "method", sorted."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def expanded(path: str) -> Path:
    """A path as a user writes it, with `~` expanded. Raises `ConfigError` for somebody without a home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{shortened(path)}: nobody called {shortened(path.partition('/')[0])} has a home folder here; write ./ "
            "before the name of a folder that begins with ~"
        ) from None


def given_path(path: str) -> Path:
    """A file or folder to read, as a user writes it, with `~` expanded.

    What presets name, "data/prompts/own_words.txt" for one, comes with the package: it is found there from every folder
    that has no such file of its own. Raises what `expanded` raises.
    """
    given = expanded(path)
    if given.parts[:1] != ("data",) or given.exists():
        return given
    packaged = _beside("data").parent / given
    return packaged if packaged.exists() else given


def _beside(name: str) -> Path:
    packaged = Path(__file__).parent / name
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / name
