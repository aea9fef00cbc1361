"""Numbers that others published, to stand beside ours: `papers/*.yaml`, each setting with its source."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from goldennoise.errors import ConfigError, DataError, nearest, shortened
from goldennoise.evaluation.report.numbers import scale_of, signed
from goldennoise.evaluation.report.sentences import subject
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table
from goldennoise.evaluation.significance import clusters_needed
from goldennoise.evaluation.summary import Summary

SCORERS = {
    "PickScore": ("pickscore", 1),
    "HPSv2": ("hpsv2", 1),
    "AES": ("aesthetic", 1),
    "ImageReward x 100": ("imagereward", 100),
    "CLIPScore": ("clipscore", 1),
}
"""Metric as published -> kind of scorer that measures it here, and what its unit is multiplied by in papers."""
NEEDED = "prompts that show it here"
PAPERS = Path(__file__).parent / "papers"

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Published(BaseModel):
    """One published setting. values: method -> metric -> value; what was not published is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Text
    setting: _Text
    source: _Text
    values: Mapping[str, Mapping[str, float]]


class _Models(BaseModel):
    """Settings of the models that have one of `names` in theirs."""

    model_config = ConfigDict(extra="forbid")

    names: list[str]
    own_weights: bool = False
    settings: list[Published]


def read_papers(folder: Path) -> dict[str, list[_Models]]:
    """Name of a file -> its entries. Raises `DataError` for a number without a setting or a source."""
    found = {}
    for file in sorted(folder.glob("*.yaml")):
        try:
            found[file.stem] = TypeAdapter(list[_Models]).validate_python(yaml.safe_load(file.read_text("utf-8")))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise DataError(
                f"{file}: {place} is missing or wrong: every published number stands in a setting that has an id, a "
                "setting and a source in words"
            ) from None
    return found


def published_for(model_name: str) -> tuple[Published, ...]:
    """What is published for a model, by its name; nothing for a model that nobody published numbers for."""
    name = model_name.casefold().replace("_", "-")
    entries = [entry for paper in _papers().values() for entry in paper]
    entry = next((entry for entry in entries if any(part in name for part in entry.names)), None)
    if entry is None or (entry.own_weights and " with " in name):
        return ()
    return tuple(entry.settings)


def published_by_id(chosen: Sequence[str]) -> tuple[Published, ...]:
    """The settings called "golden_noise/sdxl_pickapic", .... Raises `ConfigError` for a name that is none."""
    known = {
        f"{paper}/{setting.id}": setting
        for paper, entries in _papers().items()
        for entry in entries
        for setting in entry.settings
    }
    for name in chosen:
        if name not in known:
            raise ConfigError(
                f"stage.published={shortened(name)}: there is no such setting; choose from {', '.join(known)}"
                f"{nearest(name, known)}"
            )
    return tuple(known[name] for name in chosen)


@cache
def _papers() -> dict[str, list[_Models]]:
    return read_papers(PAPERS)


def published_table(found: Sequence[Published], summary: Summary) -> Table:
    """The published numbers, marked as such; a dash where none was published.

    Where this run has the scorer of a metric, its own numbers stand in the same column, and a row says how many prompts
    would show the published gain here.
    """
    metrics = list(dict.fromkeys(metric for entry in found for row in entry.values.values() for metric in row))
    sections, needs = [], False
    for entry in found:
        rows = [[Cell(method), *(_cell(entry, method, metric) for metric in metrics)] for method in entry.values]
        needed = [_needed(entry, metric, summary) for metric in metrics]
        if any(needed):
            rows.append([Cell(NEEDED), *(Cell(f"{number:,}" if number else "–") for number in needed)])
            needs = True
        sections.append(Section(entry.setting, f"published, not measured here; {entry.source}", rows))
    if ours := _ours(metrics, summary):
        sections.append(ours)
    note = (
        f"{NEEDED.capitalize()}: with so many, {summary.num_seeds} seeds each and the spread of this run, a true gain "
        "as large as that of the second row shows with a probability of 80 %."
    )
    columns = [Column("method", numeric=False), *(Column(metric, "(difference)") for metric in metrics)]
    return Table("Published numbers", columns, sections, [note] if needs else [])


def _ours(metrics: Sequence[str], summary: Summary) -> Section | None:
    """The methods of this run by the scorers of the metrics, with the intervals of their differences."""
    measured = [metric for metric in metrics if SCORERS.get(metric, ("", 1))[0] in summary.scorers]
    if not measured:
        return None
    rows = [[Cell(method), *(_own(metric, method, summary) for metric in metrics)] for method in summary.methods]
    note = f"measured; {summary.num_prompts} prompts × {summary.num_seeds} seeds, [95 % interval of the difference]"
    return Section(f"here: {summary.model['name']}", note, rows)


def _own(metric: str, method: str, summary: Summary) -> Cell:
    scorer, factor = SCORERS.get(metric, ("", 1))
    if scorer not in summary.scorers:
        return Cell("–")
    scale = scale_of(summary, scorer)
    scale = replace(scale, factor=factor, decimals=max(scale.decimals - round(math.log10(factor)), 0))
    found = summary.methods[method].scorers[scorer].overall
    if method == summary.reference:
        return Cell(scale.mean(found.mean))
    return Cell(scale.mean(found.mean), f"({scale.difference(found.difference)} {scale.difference_interval(found)})")


def _cell(entry: Published, method: str, metric: str) -> Cell:
    """A value, and its difference to the first row of the setting."""
    value = entry.values[method].get(metric)
    if value is None:
        return Cell("–")
    first = next(iter(entry.values))
    base = entry.values[first].get(metric)
    decimals = len(f"{value!r}".partition(".")[2])
    return Cell(f"{value:g}", "" if method == first or base is None else f"({signed(value - base, max(2, decimals))})")


def _needed(entry: Published, metric: str, summary: Summary) -> int | None:
    """Prompts that show the gain of the setting's second row; None where it has none or this run lacks the scorer."""
    values = [row[metric] for row in list(entry.values.values())[:2] if metric in row]
    scorer, factor = SCORERS.get(metric, ("", 1))
    method = subject(summary)
    if len(values) < 2 or scorer not in summary.scorers or method is None or values[0] == values[1]:
        return None
    found = summary.methods[method].scorers[scorer].overall
    if not found.standard_error:
        return None
    return clusters_needed((values[1] - values[0]) / factor, found.standard_error, found.num_prompts)
