"""Prompt files of every kind, read strictly."""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from goldennoise.data.prompts.defects import Defect, shown
from goldennoise.data.prompts.folder import read_folder, read_lists
from goldennoise.data.prompts.json_rows import read_json, read_jsonl
from goldennoise.data.prompts.parquet_rows import read_parquet
from goldennoise.data.prompts.rows import TEXT, Rows, decoded, existing, lines_of
from goldennoise.errors import DataError


def read_rows(path: Path, folder: str = "texts") -> Rows:
    """All rows of a .txt, .csv, .tsv, .jsonl, .json (in UTF-8; a byte order mark is allowed) or .parquet file.

    Of a folder: those of its files, which are texts or lists, as `folder` says.
    Raises `DataError`: no such file, another suffix, not UTF-8, nothing in it.
    """
    try:
        rows = _read(existing(path), folder)
    except OSError as error:
        raise DataError(f"{shown([str(path)])} cannot be read ({error.strerror}); check prompts.path") from None
    if not (rows.rows or rows.defects or rows.empty_lines):
        raise DataError(f"{path} holds no rows; write one at least")
    return rows


def _read(path: Path, folder: str) -> Rows:
    if path.is_dir():
        return read_folder(path) if folder == "texts" else read_lists(path, _read_file, READERS)
    return _read_file(path)


def _read_file(path: Path) -> Rows:
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(f"{path}: a prompt file ends in {', '.join(READERS)}; rename or convert it")
    return READERS[suffix](path)


def _read_txt(text: str) -> Rows:
    rows = Rows([TEXT])
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            rows.rows.append((number, {TEXT: line}))
        else:
            rows.empty_lines.append(number)
    return rows


def _read_csv(text: str) -> Rows:
    with _fields_up_to(len(text)):
        return _rows_of_csv(text)


@contextmanager
def _fields_up_to(length: int) -> Iterator[None]:
    """Let the csv module read longer fields than its 131,072 characters, whose excess it reports as any other error."""
    before = csv.field_size_limit()
    csv.field_size_limit(max(before, length))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _rows_of_csv(text: str) -> Rows:
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
    for number, line in enumerate(lines_of(text), 1):
        # Tab-separated values know no quoting: a quote is part of the prompt.
        _add_row(rows, number, line.split("\t") if line else [], "replace the tabs within a text by spaces")
    return rows


def _add_row(rows: Rows, line: int, fields: list[str], mend_excess: str) -> None:
    if not any(fields) and len(fields) <= 1:
        rows.empty_lines.append(line)
    elif not rows.columns:
        rows.columns = fields
        # Columns without a name hold no prompts; spreadsheets write several.
        names = [name.strip() for name in fields if name.strip()]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            what = f"the header names {shown(twice)} twice"
            rows.defects.append(Defect(line, what, "give every column a name of its own"))
    elif len(fields) > len(rows.columns):
        rows.defects.append(Defect(line, f"{len(fields)} fields, the header names {len(rows.columns)}", mend_excess))
    elif len(fields) < len(rows.columns):
        missing = shown(rows.columns[len(fields) :])
        what = f"{len(fields)} of {len(rows.columns)} fields, {missing} missing"
        rows.defects.append(Defect(line, what, "give every row as many fields as the header, empty ones too"))
    else:
        rows.rows.append((line, dict(zip(rows.columns, fields, strict=True))))


def _decoded(read: Callable[[str], Rows]) -> Callable[[Path], Rows]:
    return lambda path: read(decoded(path))


READERS: dict[str, Callable[[Path], Rows]] = {
    ".txt": _decoded(_read_txt),
    ".csv": _decoded(_read_csv),
    ".tsv": _decoded(_read_tsv),
    ".jsonl": _decoded(read_jsonl),
    ".json": lambda path: read_json(path, decoded(path)),
    ".parquet": read_parquet,
}
"""Suffix of a file -> what reads it."""
