"""A folder of prompts with one text a file, as DPG-Bench is published."""

import logging
import re
from pathlib import Path

from goldennoise.data.prompts.defects import Places, shown
from goldennoise.data.prompts.rows import TEXT, Rows, decoded
from goldennoise.errors import DataError

log = logging.getLogger(__name__)


def natural_order(name: str) -> tuple[list[list[str | int]], str]:
    """Sort key of a path: folder by folder, with numbers counted as numbers, so that 2.png comes before 10.png."""
    pieces = [re.split(r"(\d+)", part) for part in Path(name).with_suffix("").parts]
    return [[int(piece) if place % 2 else piece for place, piece in enumerate(part)] for part in pieces], name


def read_folder(folder: Path) -> Rows:
    """A row per .txt file, in natural order. The line end that editors put after a text is no part of it.

    Raises `DataError` if there is none, or with file and byte for one that is not UTF-8.
    """
    entries = sorted((entry.name for entry in folder.iterdir()), key=natural_order)
    names = [name for name in entries if name.lower().endswith(".txt") and not name.startswith(".")]
    if not names:
        raise DataError(f"{folder} holds no .txt file; a folder of prompts has one text a file")
    if others := [name for name in entries if name not in set(names)]:
        are = "that is no .txt file" if len(others) == 1 else "that are no .txt files"
        log.warning("%s: left out %d %s (%s)", folder, len(others), are, shown(others))
    rows = Rows([TEXT], places=Places("file", names))
    for number, name in enumerate(names, 1):
        text = re.sub(r"(\r?\n)+\Z", "", decoded(folder / name))
        rows.rows.append((number, {TEXT: text}))
    return rows
