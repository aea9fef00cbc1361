"""Prompts of a file: strict, unless the config says that a published set holds repeated or empty prompts."""

import logging
from pathlib import Path

from goldennoise.errors import DataError
from goldennoise.prompts.defects import Defect, refuse
from goldennoise.prompts.prompt import UNCATEGORISED, Prompt, PromptsConfig
from goldennoise.prompts.rows import Rows, read_rows
from goldennoise.seeding import normalised

TEXT_COLUMNS = ("prompt", "prompts", "caption", "text")
"""Names a text column is found by when the config names none, in any case."""

log = logging.getLogger(__name__)


def prompts_of_file(config: PromptsConfig) -> list[Prompt]:
    """All prompts of `config.path`, in the file's order.

    Raises `DataError` with file and line: unreadable rows (see `rows`), a missing column, an empty prompt, a prompt
    over several lines, two prompts with the same normalised text unless `config.duplicates` allows them.
    """
    path = Path(config.path or "")
    rows = read_rows(path)
    text_column = _text_column(path, rows, config.text_column)
    category_column = config.category_column
    if category_column is not None:
        _require_column(path, rows, "category_column", category_column)
    numbered, defects = _prompts(rows, text_column, category_column)
    kept, repeated = _first_of_each(numbered)
    if config.duplicates == "keep":
        kept, repeated = [prompt for _, prompt in numbered if prompt is not None], {}
    empty = sorted({*rows.empty_lines, *(line for line, prompt in numbered if prompt is None)})
    if config.empty == "refuse":
        defects += [Defect(line, "empty", "write a prompt there or delete the line") for line in empty]
    elif empty:
        log.warning("%s: left out %d without text (line %s)", path, len(empty), _listed(empty))
    if config.duplicates == "refuse":
        mend = "keep one of the two"
        defects += [Defect(line, f"the same prompt as on line {first}", mend) for line, first in repeated.items()]
    elif repeated:
        log.warning("%s: left out %d repeated (line %s)", path, len(repeated), _listed([*repeated]))
    refuse(path, rows.defects + defects)
    if not kept:
        raise DataError(f"{path} holds no prompts; put one on each line")
    return kept


def _text_column(path: Path, rows: Rows, name: str | None) -> str:
    if name is not None:
        _require_column(path, rows, "text_column", name)
        return name
    found = [column for column in rows.columns if column.casefold().strip() in TEXT_COLUMNS]
    if len(found) == 1:
        return found[0]
    why = f"{len(found)} columns ({', '.join(found)}) may hold" if found else "no known column holds"
    raise DataError(
        f"{path}: {why} the prompts; set prompts.text_column to one of the columns there: {', '.join(rows.columns)} "
        "(in a file of prompts.held_out, call one of them prompt and no other so)"
    )


def _require_column(path: Path, rows: Rows, option: str, name: str) -> None:
    if name not in rows.columns:
        raise DataError(f"{path}: prompts.{option}={name} is not there; the columns are {', '.join(rows.columns)}")


def _prompts(
    rows: Rows, text_column: str, category_column: str | None
) -> tuple[list[tuple[int, Prompt | None]], list[Defect]]:
    numbered: list[tuple[int, Prompt | None]] = []
    defects: list[Defect] = []
    for line, row in rows.rows:
        text, category = row.get(text_column), row.get(category_column, "") if category_column else UNCATEGORISED
        if not isinstance(text, str) or not isinstance(category, str):
            column = category_column if isinstance(text, str) else text_column
            defects.append(Defect(line, f"{column} is missing or no text", "give every line both as text"))
        elif not text.strip():
            numbered.append((line, None))
        elif not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
            defects.append(Defect(line, "half of a character, as when a text is cut", "write the whole character"))
        elif "\n" in text or "\r" in text:
            what = f"a prompt over {len(text.splitlines())} lines, as when a quote is not closed"
            defects.append(Defect(line, what, "close the quote, or write the prompt on one line"))
        else:
            numbered.append((line, Prompt.of(text, category or UNCATEGORISED)))
    return numbered, defects


def _first_of_each(numbered: list[tuple[int, Prompt | None]]) -> tuple[list[Prompt], dict[int, int]]:
    """Prompts without repetitions, and line of a repetition -> line of the first."""
    first_line: dict[str, int] = {}
    kept: list[Prompt] = []
    repeated: dict[int, int] = {}
    for line, prompt in numbered:
        if prompt is None:
            continue
        first = first_line.setdefault(normalised(prompt.text), line)
        if first == line:
            kept.append(prompt)
        else:
            repeated[line] = first
    return kept, repeated


def _listed(lines: list[int]) -> str:
    return ", ".join(map(str, lines[:5])) + (", ..." if len(lines) > 5 else "")
