"""A folder of prompts: one text a file, as DPG-Bench is published, or several lists, as HPD v2 is."""

import logging
import re
from collections.abc import Callable, Collection
from pathlib import Path

from goldennoise.data.prompts.defects import Defect, Places, shown
from goldennoise.data.prompts.rows import TEXT, Rows, decoded
from goldennoise.errors import DataError

LIST = "list"
"""Column of the rows of a folder of lists: the name of the file, without its suffix."""

log = logging.getLogger(__name__)


def natural_order(name: str) -> tuple[list[list[str | int]], str]:
    """Sort key of a path: folder by folder, with numbers counted as numbers, so that 2.png comes before 10.png."""
    pieces = [re.split(r"(\d+)", part) for part in Path(name).with_suffix("").parts]
    return [[int(piece) if place % 2 else piece for place, piece in enumerate(part)] for part in pieces], name


def prompt_files(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Names of the visible files of a folder with these suffixes, in any case, in natural order."""
    names = (entry.name for entry in folder.iterdir() if entry.suffix.lower() in suffixes)
    return sorted((name for name in names if not name.startswith(".")), key=natural_order)


def read_folder(folder: Path) -> Rows:
    """A row per .txt file, in natural order.

    Raises `DataError` if there is none, or with file and byte for one that is not UTF-8.
    """
    names = prompt_files(folder, [".txt"])
    if not names:
        raise DataError(f"{folder} holds no .txt file; a folder of prompts has one text a file")
    _tell_others(folder, names, "is no .txt file", "are no .txt files")
    rows = Rows([TEXT], places=Places("file", names))
    for number, name in enumerate(names, 1):
        rows.rows.append((number, {TEXT: decoded(folder / name)}))
    return rows


def read_lists(folder: Path, read: Callable[[Path], Rows], suffixes: Collection[str]) -> Rows:
    """The rows of all lists of a folder, file by file in natural order, with the column `LIST`.

    read, suffixes: how a file is read, and which are. Raises `DataError` if there is none, and what `read` raises.
    """
    names = prompt_files(folder, suffixes)
    if not names:
        raise DataError(f"{folder} holds no list of prompts; a list ends in {', '.join(suffixes)}")
    _tell_others(folder, names, "is no list", "are no lists")
    whole, columns, places = Rows([]), list[str](), list[str]()
    for name in names:
        rows, before = read(folder / name), len(places)
        places += [f"{number} of {name}" for number in range(1, _last(rows) + 1)]
        columns += rows.columns
        whole.rows += [(before + line, {**row, LIST: Path(name).stem}) for line, row in rows.rows]
        whole.empty_lines += [before + line for line in rows.empty_lines]
        whole.defects += [Defect(before + found.line, found.what, found.mend) for found in rows.defects]
    whole.columns, whole.places = list(dict.fromkeys([*columns, LIST])), Places("row", places)
    return whole


def _last(rows: Rows) -> int:
    """The number of the last row that holds anything, or nothing where it should."""
    numbers = [*(number for number, _ in rows.rows), *rows.empty_lines, *(defect.line for defect in rows.defects)]
    return max(numbers, default=0)


def _tell_others(folder: Path, read: Collection[str], is_none: str, are_none: str) -> None:
    others = sorted((entry.name for entry in folder.iterdir() if entry.name not in set(read)), key=natural_order)
    if others:
        are = is_none if len(others) == 1 else are_none
        log.warning("%s: left out %d that %s (%s)", folder, len(others), are, shown(others))
