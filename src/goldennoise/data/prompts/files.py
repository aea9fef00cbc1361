"""Prompts of a file: strict, unless the config says that a published set holds repeated or empty prompts."""

import logging
import unicodedata
from pathlib import Path

from goldennoise.data.prompts.content import refuse_other_content
from goldennoise.data.prompts.defects import Defect, refuse, shown
from goldennoise.data.prompts.prompt import UNCATEGORISED, Prompt, PromptsConfig
from goldennoise.data.prompts.readers import read_rows
from goldennoise.data.prompts.rows import Rows
from goldennoise.errors import DataError
from goldennoise.runtime.seeding import normalised
from goldennoise.store.paths import given_path

TEXT_COLUMNS = ("prompt", "prompts", "caption", "text")
"""Names a text column is found by when the config names none, in any case."""

MOST_ACCENTS = 100
"""On one letter: Unicode normalisation takes time with the square of them, and hours for a million."""

log = logging.getLogger(__name__)


def prompts_of_file(config: PromptsConfig) -> list[Prompt]:
    """All prompts of `config.path`, in the file's order.

    Raises `DataError` for another content than `config.sha256` and with file and line: unreadable rows (see `rows`), a
    missing column, an empty prompt, a prompt over several lines, two prompts with the same normalised text unless
    `config.duplicates` allows them.
    """
    path = given_path(config.path or "")
    refuse_other_content(path, config)
    rows = read_rows(path, config.folder)
    numbered, defects = numbered_prompts(path, rows, config)
    there = [(line, prompt) for line, prompt in numbered if prompt is not None]
    repeated = {} if config.duplicates == "keep" else _repeated(there)
    if config.duplicates == "refuse":
        for line, first in repeated.items():
            defects.append(Defect(line, f"the same prompt as {rows.places.name(first)}", "keep one of the two"))
    elif repeated:
        log.warning("%s: left out %d repeated (%s)", path, len(repeated), rows.places.listed([*repeated]))
    refuse(path, defects, rows.places)
    if not there:
        raise DataError(f"{path} holds no prompts; write one at least")
    return [prompt for line, prompt in there if line not in repeated]


def numbered_prompts(
    path: Path, rows: Rows, config: PromptsConfig
) -> tuple[list[tuple[int, Prompt | None]], list[Defect]]:
    """(line, prompt or None for an empty one) of each row without a defect, and all defects.

    Raises `DataError` for a missing column; the defects of the rows, if a column is missing because of them.
    """
    try:
        text_column = _text_column(path, rows, config.text_column)
        if config.category_column is not None:
            _require_column(path, rows, "category_column", config.category_column)
    except DataError:
        refuse(path, rows.defects, rows.places)
        raise
    numbered, defects = _prompts(rows, text_column, config.category_column)
    empty = sorted({*rows.empty_lines, *(line for line, prompt in numbered if prompt is None)})
    if config.empty == "refuse":
        mend = f"write a prompt there or delete the {rows.places.unit}"
        defects += [Defect(line, "empty", mend) for line in empty]
    elif empty:
        log.warning("%s: left out %d without text (%s)", path, len(empty), rows.places.listed(empty))
    return numbered, rows.defects + defects


def _text_column(path: Path, rows: Rows, name: str | None) -> str:
    if name is not None:
        _require_column(path, rows, "text_column", name)
        return name
    found = [column for column in rows.columns if column.casefold().strip() in TEXT_COLUMNS]
    if len(set(found)) == 1:
        return found[0]
    why = f"{len(found)} columns ({shown(found)}) may hold" if found else "no known column holds"
    raise DataError(
        f"{path}: {why} the prompts; call one of the columns prompt, or set prompts.text_column where the file is "
        f"prompts.path; columns there: {shown(rows.columns)}"
    )


def _require_column(path: Path, rows: Rows, option: str, name: str) -> None:
    if name not in rows.columns or not name.strip():
        columns = shown([column for column in rows.columns if column.strip()])
        raise DataError(f"{path}: prompts.{option}={shown([name])} is not there; the columns are {columns}")


def _prompts(
    rows: Rows, text_column: str, category_column: str | None
) -> tuple[list[tuple[int, Prompt | None]], list[Defect]]:
    numbered: list[tuple[int, Prompt | None]] = []
    defects: list[Defect] = []
    for line, row in rows.rows:
        text, category = row.get(text_column), row.get(category_column, "") if category_column else UNCATEGORISED
        # The line end that editors and published lists put after a text is no part of it.
        text = text.rstrip("\r\n") if isinstance(text, str) else text
        category = str(category) if type(category) is int else category
        if not isinstance(text, str) or not isinstance(category, str):
            column = shown([category_column if isinstance(text, str) and category_column else text_column])
            defects.append(
                Defect(
                    line, f"{column} is missing or no text", f"write the {column} of every {rows.places.unit} as text"
                )
            )
        elif not text.strip():
            numbered.append((line, None))
        elif wrong := _unfit("prompt", text) or _unfit("category", category):
            defects.append(Defect(line, *wrong))
        else:
            beside = {column: value for column, value in row.items() if column != text_column}
            numbered.append((line, Prompt.of(text, category or UNCATEGORISED, beside)))
    return numbered, defects


def _unfit(called: str, text: str) -> tuple[str, str] | None:
    """What is wrong with a text and how to mend it, None for one that can be used."""
    if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "half of a character, as when a text is cut", "write the whole character"
    if "\n" in text or "\r" in text:
        what = f"a {called} over {len(text.splitlines())} lines, as when a quote is not closed"
        return what, f"close the quote, or write the {called} on one line"
    if not text.isascii() and _accents_at_once(text) > MOST_ACCENTS:
        return f"more than {MOST_ACCENTS} accents on one letter", "write the text without them"
    return None


def _accents_at_once(text: str) -> int:
    most = run = 0
    for letter in text:
        run = run + 1 if unicodedata.combining(letter) else 0
        most = max(most, run)
    return most


def _repeated(prompts: list[tuple[int, Prompt]]) -> dict[int, int]:
    """Line of a repetition -> line of the first."""
    first_line: dict[str, int] = {}
    first_of = {line: first_line.setdefault(normalised(prompt.text), line) for line, prompt in prompts}
    return {line: first for line, first in first_of.items() if first != line}
