"""What goes wrong, in the user's words: every message is one sentence that says how to mend it."""

import difflib
from collections.abc import Iterable


class GoldenNoiseError(Exception):
    """A mistake in what a user gave; the command line shows its message and exits with code 2."""


class ConfigError(GoldenNoiseError):
    """An option that does not exist, has the wrong type or is out of range."""


class ArtifactError(GoldenNoiseError):
    """An artifact that is missing, unfinished, damaged, of the wrong kind or in use."""


class DataError(GoldenNoiseError):
    """Prompts, pairs or images that cannot be read as they are."""


class ModelError(GoldenNoiseError):
    """A text-to-image model or network that cannot be loaded or does not fit what it is used with."""


class ScorerError(GoldenNoiseError):
    """A scorer that cannot be loaded or cannot score what it was given."""


def require(holds: bool, option: str, value: object, allowed: str) -> None:
    """Raise `ConfigError` unless `holds`; for range checks in the `__post_init__` of config dataclasses."""
    if not holds:
        raise ConfigError(f"{option}={shortened(value)}: {option.rpartition('.')[2]} must be {allowed}")


def nearest(wrong: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a message: the known spelling nearest to a wrong one, after `prefix`; nothing if none is near."""
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def shortened(value: object, limit: int = 80) -> str:
    """One line of a message: `value` as text, escaped where it cannot be printed, cut after `limit` characters."""
    text = str(value)
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:limit])
    return line if len(text) <= limit else f"{line}..."


def one_line(message: str, limit: int = 600) -> str:
    """A message on one line; of a longer one the beginning, which says what is wrong, and the end, which says how to
    mend it."""
    line = " ".join(message.split())
    return line if len(line) <= limit else f"{line[: limit * 2 // 3]} ... {line[-limit // 3 :]}"
