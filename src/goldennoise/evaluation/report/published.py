"""Numbers that others published, to stand beside ours: `published_numbers/*.yaml`, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from goldennoise.evaluation.report.tables import Cell, Column, Section, Table


@dataclass(frozen=True)
class Published:
    """One published setting. values: method -> metric -> value; what was not published is left out."""

    setting: str
    source: str
    values: Mapping[str, Mapping[str, float]]


@cache
def _entries() -> list[dict[str, Any]]:
    files = sorted((Path(__file__).parent / "published_numbers").glob("*.yaml"))
    return [entry for file in files for entry in yaml.safe_load(file.read_text("utf-8"))]


def published_for(model_name: str) -> tuple[Published, ...]:
    """What is published for a model, by its name; nothing for a model that nobody published numbers for."""
    name = model_name.casefold().replace("_", "-")
    entry = next((entry for entry in _entries() if any(part in name for part in entry["names"])), None)
    if entry is None or (entry.get("own_weights") and " with " in name):
        return ()
    return tuple(Published(**setting) for setting in entry["settings"])


def published_table(found: tuple[Published, ...]) -> Table:
    """The published numbers, marked as such; a dash where none was published."""
    metrics = list(dict.fromkeys(metric for entry in found for row in entry.values.values() for metric in row))
    sections = [
        Section(
            entry.setting,
            f"published, not measured here; {entry.source}",
            [
                [Cell(method), *(Cell(f"{row[metric]:g}" if metric in row else "–") for metric in metrics)]
                for method, row in entry.values.items()
            ],
        )
        for entry in found
    ]
    return Table("Published numbers", [Column("method", numeric=False), *map(Column, metrics)], sections)
