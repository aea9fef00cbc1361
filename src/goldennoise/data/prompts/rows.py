"""Rows of a prompt file: what does not fit is a defect with its line, never a guess."""

from dataclasses import dataclass, field
from pathlib import Path

from goldennoise.data.prompts.defects import LINES, Defect, Places
from goldennoise.errors import DataError

TEXT = "text"
"""Column name of a file with one prompt a line."""


@dataclass
class Rows:
    """Column names, rows as (line counted from 1, column -> value), blank lines, and defects found while reading.

    places: what messages call a row.
    """

    columns: list[str]
    rows: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    empty_lines: list[int] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    places: Places = LINES


def existing(path: Path) -> Path:
    """The path itself. Raises `DataError` if nothing is there."""
    if not path.exists():
        raise DataError(f"{path}: no such file; stage=fetch gets published prompts, data/README.md says from where")
    return path


def decoded(path: Path) -> str:
    """Content of a file in UTF-8. Raises `DataError` if there is no such file, or with line and byte if it is not."""
    content = existing(path).read_bytes()
    if b"\0" in content:
        raise DataError(f"{path} holds zero bytes, as a file in UTF-16 does; save the file as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise DataError(
            f"{path}, line {line}: byte {column} of the line (0x{content[error.start]:02x}) is not UTF-8; "
            "save the file as UTF-8"
        ) from error


def lines_of(text: str) -> list[str]:
    """Without their ends; only line feeds separate them."""
    # str.splitlines would also split at characters that belong to a prompt, such as U+2028.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines
