"""Rows of a prompt file, read strictly: what does not fit is a defect with its line, never a guess."""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

from goldennoise.errors import DataError
from goldennoise.prompts.defects import Defect

TEXT = "text"
"""Column name of a file with one prompt a line."""


@dataclass
class Rows:
    """Column names, rows as (line counted from 1, column -> value), blank lines, and defects found while reading."""

    columns: list[str]
    rows: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    empty_lines: list[int] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)


def read_rows(path: Path) -> Rows:
    """All rows of a .txt, .csv, .tsv or .jsonl file in UTF-8 (a byte order mark is allowed).

    Raises `DataError`: no such file, another suffix, not UTF-8, nothing in it.
    """
    readers = {".txt": _read_txt, ".csv": _read_csv, ".tsv": _read_tsv, ".jsonl": _read_jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: a prompt file ends in {', '.join(readers)}; rename or convert it")
    rows = reader(_decoded(path))
    if not (rows.rows or rows.defects or rows.empty_lines):
        raise DataError(f"{path} holds no prompts; put one on each line")
    return rows


def _decoded(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: no such prompt file; data/README.md says where the published sets come from")
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise DataError(
            f"{path}, line {line}: byte {column} of the line (0x{content[error.start]:02x}) is not UTF-8; "
            "save the file as UTF-8"
        ) from error


def _lines(text: str) -> list[str]:
    # str.splitlines would also split at characters that belong to a prompt, such as U+2028.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _read_txt(text: str) -> Rows:
    rows = Rows([TEXT])
    for number, line in enumerate(_lines(text), 1):
        if line.strip():
            rows.rows.append((number, {TEXT: line}))
        else:
            rows.empty_lines.append(number)
    return rows


def _read_csv(text: str) -> Rows:
    rows, reader, end = Rows([]), csv.reader(io.StringIO(text, newline=""), strict=True), 0
    while True:
        start = end + 1
        try:
            fields = next(reader)
        except StopIteration:
            return rows
        except csv.Error:
            rows.defects.append(
                Defect(
                    start,
                    _where_quote_ends(start, reader.line_num),
                    'put the whole text in quotes and write a quote inside it twice ("")',
                )
            )
        else:
            _add_row(rows, start, fields, "quote every text that holds a comma")
        end = reader.line_num


def _where_quote_ends(start: int, end: int) -> str:
    if end == start:
        return "a quote is not closed, or stands where none may"
    return f"a quote that opens here is not closed, it swallows the lines to {end}"


def _read_tsv(text: str) -> Rows:
    rows = Rows([])
    for number, line in enumerate(_lines(text), 1):
        # Tab-separated values know no quoting: a quote is part of the prompt.
        _add_row(rows, number, line.split("\t") if line else [], "replace the tabs within a text by spaces")
    return rows


def _add_row(rows: Rows, line: int, fields: list[str], mend_excess: str) -> None:
    if not any(fields) and len(fields) <= 1:
        rows.empty_lines.append(line)
    elif not rows.columns:
        rows.columns = fields
    elif len(fields) > len(rows.columns):
        rows.defects.append(Defect(line, f"{len(fields)} fields, the header names {len(rows.columns)}", mend_excess))
    elif len(fields) < len(rows.columns):
        missing = ", ".join(rows.columns[len(fields) :])
        what = f"{len(fields)} of {len(rows.columns)} fields, {missing} missing"
        rows.defects.append(Defect(line, what, "give every row as many fields as the header, empty ones too"))
    else:
        rows.rows.append((line, dict(zip(rows.columns, fields, strict=True))))


def _read_jsonl(text: str) -> Rows:
    rows, columns = Rows([]), dict[str, None]()
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            rows.empty_lines.append(number)
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            what = f"not JSON at column {error.colno} ({error.msg})"
            rows.defects.append(Defect(number, what, "write one JSON object a line"))
            continue
        if isinstance(record, dict):
            rows.rows.append((number, record))
            columns.update(dict.fromkeys(record))
        else:
            what = f"a JSON {type(record).__name__} instead of an object"
            rows.defects.append(Defect(number, what, "write one JSON object a line"))
    rows.columns = list(columns)
    return rows
