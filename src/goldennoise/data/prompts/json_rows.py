"""Rows of JSON: one object a line, or one list of texts or of objects."""

import itertools
import json
import re
from pathlib import Path

from goldennoise.data.prompts.defects import Defect, Places, shown
from goldennoise.data.prompts.rows import TEXT, Rows, lines_of
from goldennoise.errors import DataError

ITEMS = Places("item")


class _KeyTwiceError(ValueError):
    """number: of the object among all objects, in the order of their ends."""

    def __init__(self, key: str, number: int) -> None:
        super().__init__(f"an object has the key {shown([key])} twice")
        self.number = number


def read_jsonl(text: str) -> Rows:
    """A row per line; a line that is no object is a defect."""
    rows = Rows([])
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            rows.empty_lines.append(number)
            continue
        try:
            record = _parsed(line)
        except _KeyTwiceError as error:
            rows.defects.append(Defect(number, str(error), "keep one of the two"))
            continue
        except ValueError as error:
            rows.defects.append(Defect(number, _what(error), "write one JSON object a line"))
            continue
        if isinstance(record, dict):
            rows.rows.append((number, record))
        else:
            what = f"a JSON {type(record).__name__} instead of an object"
            rows.defects.append(Defect(number, what, "write one JSON object a line"))
    rows.columns = _columns(rows)
    return rows


def _columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(column for _, row in rows.rows for column in row))


def read_json(path: Path, text: str) -> Rows:
    """A row per item of a list of texts or of objects, of the only list of an object, or of an object of objects.

    Raises `DataError` for what is no JSON, or holds no such list.
    """
    try:
        content = _parsed(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: {_what(error)}; write a JSON list of prompts") from None
    except _KeyTwiceError as error:
        line = _line_of_end(text, error.number)
        raise DataError(f"{path}, line {line}: {error}; keep one of the two") from None
    except ValueError as error:
        raise DataError(f"{path}, line 1: {_what(error)}; write a JSON list of prompts") from None
    items = _items(content)
    if items is None:
        raise DataError(
            f"{path}: no list of prompts; write a JSON list of texts or of objects, or an object that holds one list"
        )
    return _rows_of_items(items)


def _items(content: object) -> list[object] | None:
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        if len(lists) == 1:
            return lists[0]
        # As MJHQ-30K and GenAI-Bench are published: an object for each id.
        of_objects = bool(content) and all(isinstance(value, dict) for value in content.values())
        return list(content.values()) if of_objects else None
    return content if isinstance(content, list) else None


def _rows_of_items(items: list[object]) -> Rows:
    kind, called = (str, "a text") if items and isinstance(items[0], str) else (dict, "an object")
    rows = Rows([], places=ITEMS)
    for number, item in enumerate(items, 1):
        if not isinstance(item, kind):
            what = f"a JSON {type(item).__name__} instead of {called}"
            rows.defects.append(Defect(number, what, "write a list of texts or a list of objects"))
            continue
        rows.rows.append((number, item if isinstance(item, dict) else {TEXT: item}))
    rows.columns = _columns(rows)
    return rows


def _parsed(text: str) -> object:
    """Raises `ValueError`: `json.JSONDecodeError`, `_KeyTwiceError`, or for what Python does not read (see `_what`)."""
    numbers = itertools.count(1)

    def as_dict(pairs: list[tuple[str, object]]) -> dict[str, object]:
        number, found = next(numbers), dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise _KeyTwiceError(next(key for key in found if keys.count(key) > 1), number)
        return found

    try:
        return json.loads(text, object_pairs_hook=as_dict)
    except RecursionError:
        raise ValueError("JSON nested too deeply to be read") from None


def _what(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON at column {error.colno} ({error.msg})"
    # Python's own words for a number with thousands of digits advise to change the interpreter.
    return "a number of too many digits" if "integer string conversion" in str(error) else str(error)


def _line_of_end(text: str, number: int) -> int:
    """Line on which the object ends that is the number-th to end: every object ends in a brace outside of texts."""
    tokens = re.finditer(r'"[^"\\]*(?:\\.[^"\\]*)*"|\}', text, re.DOTALL)
    ends = (token.start() for token in tokens if token[0] == "}")
    return text.count("\n", 0, next(itertools.islice(ends, number - 1, None))) + 1
