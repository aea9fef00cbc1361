"""Paths as a user writes them, and files that come with the package."""

from pathlib import Path

from goldennoise.errors import ConfigError, shortened


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
    return found if (found := packaged(str(given))).exists() else given


def packaged(path: str) -> Path:
    """A file or folder that comes with the package: inside an installed one, else at the top of the source tree."""
    inside = Path(__file__).parents[1] / path
    return inside if inside.exists() else Path(__file__).parents[3] / path
