"""What each prompt of GenEval demands, read from its published metadata (arXiv 2310.11513).

The metadata is `prompts/evaluation_metadata.jsonl` of GitHub djghosh13/geneval; ours are the words for its fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldennoise.data.prompts.defects import Defect, refuse
from goldennoise.data.prompts.readers import read_rows
from goldennoise.errors import shortened

COLUMNS = ("tag", "include", "exclude")
"""Columns that say what a prompt demands; the last may be missing."""

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
"""The six kinds of prompts."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
RELATIONS = ("left of", "right of", "above", "below")
CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "computer mouse", "tv remote",
    "computer keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock",
    "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""The classes of COCO in COCO's order under GenEval's names (`object_names.txt` there)."""


@dataclass(frozen=True)
class Clause:
    """At least `count` objects of a class. colour: of each of them.

    relation, target: each of them stands so to each object of the clause before it with this index.
    """

    name: str
    count: int
    colour: str | None = None
    relation: str | None = None
    target: int = 0


@dataclass(frozen=True)
class Task:
    """include: every clause must hold. exclude: none may. Clauses do not share objects out among each other."""

    tag: str
    include: tuple[Clause, ...]
    exclude: tuple[Clause, ...] = ()


def read_tasks(path: Path) -> dict[str, Task]:
    """Prompt -> task of every line of a metadata file.

    Raises `DataError` with file and line: what `read_rows` finds, a line that is no task, a prompt that stands twice.
    """
    rows = read_rows(path)
    tasks: dict[str, Task] = {}
    defects = list(rows.defects)
    for line, row in rows.rows:
        prompt = row.get("prompt")
        try:
            task = task_of(row)
        except ValueError as error:
            defects.append(Defect(line, str(error), "write it like the published evaluation_metadata.jsonl"))
            continue
        if not isinstance(prompt, str) or prompt in tasks:
            what = f"prompt {_cut(prompt)} stands there twice or is no text"
            defects.append(Defect(line, what, "give each task a prompt of its own"))
        else:
            tasks[prompt] = task
    refuse(path, defects)
    return tasks


def task_of(row: Mapping[str, Any]) -> Task:
    """The task that `COLUMNS` of a row hold. Raises `ValueError` for a row that is no task."""
    try:
        return _task(row)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no task of GenEval ({type(error).__name__}: {error})") from None


def _task(row: Mapping[str, Any]) -> Task:
    include = tuple(_clause(clause, index) for index, clause in enumerate(row["include"]))
    task = Task(row["tag"], include, tuple(_clause(clause, 0) for clause in row.get("exclude", [])))
    if not isinstance(task.tag, str):
        raise TypeError(f"tag {_cut(task.tag)} is no text")
    if not task.include and not task.exclude:
        raise ValueError("it has no clause")
    return task


def _clause(row: Mapping[str, Any], index: int) -> Clause:
    """Clause number `index`; ValueError for a value that decides nothing."""
    relation, target = row.get("position", (None, 0))
    clause = Clause(row["class"], row["count"], row.get("color"), relation, target)
    if clause.name not in CLASSES:
        raise ValueError(f"class {_cut(clause.name)} is none of COCO's 80 under GenEval's names")
    if clause.colour not in (None, *COLOURS):
        raise ValueError(f"color {_cut(clause.colour)} is none of {', '.join(COLOURS)}")
    if relation is not None and (relation not in RELATIONS or type(target) is not int or target not in range(index)):
        raise ValueError(f"position {_cut([relation, target])} is no relation to a clause before it")
    if type(clause.count) is not int:
        raise TypeError(f"count {_cut(clause.count)} is no whole number")
    if clause.count < 1:
        raise ValueError(f"count {clause.count} is below 1")
    return clause


def _cut(value: object) -> str:
    return shortened(repr(value))
