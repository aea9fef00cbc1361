"""A table of numbers that others published, with ours beside them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from goldennoise.evaluation.report.numbers import grid_size, scale_of, signed
from goldennoise.evaluation.report.paper_numbers import Published
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


def published_table(found: Sequence[Published], summary: Summary, names: Mapping[str, str]) -> Table:
    """The published numbers, marked as such; a dash where none was published.

    names: kind of scorer -> its name in this run. Where this run has the scorer of a metric, its own numbers stand in
    the same column, and a row says how many prompts would show the published gain here.
    """
    metrics = list(dict.fromkeys(metric for entry in found for row in entry.values.values() for metric in row))
    sections, needs = [], False
    for entry in found:
        rows = [[Cell(method), *(_cell(entry, method, metric) for metric in metrics)] for method in entry.values]
        needed = [_needed(entry, metric, summary, names) for metric in metrics]
        if any(needed):
            rows.append([Cell(NEEDED), *(Cell(f"{number:,}" if number else "–") for number in needed)])
            needs = True
        sections.append(Section(entry.setting, f"published, not measured here; {entry.source}", rows))
    if ours := _ours(metrics, summary, names):
        sections.append(ours)
    note = (
        f"{NEEDED.capitalize()}: with so many, {summary.num_seeds} seeds each and the spread of this run, a true gain "
        "as large as that of the second row shows with a probability of 80 %."
    )
    columns = [Column("method", numeric=False), *(Column(metric, "(difference)") for metric in metrics)]
    return Table("Published numbers", columns, sections, [note] if needs else [])


def _ours(metrics: Sequence[str], summary: Summary, names: Mapping[str, str]) -> Section | None:
    """The methods of this run by the scorers of the metrics, with the intervals of their differences."""
    if not any(_measured(metric, names) for metric in metrics):
        return None
    rows = [
        [Cell(method), *(_own(_measured(metric, names), method, summary) for metric in metrics)]
        for method in summary.methods
    ]
    note = f"measured; {grid_size(summary.num_prompts, summary.num_seeds)}, [95 % interval of the difference]"
    return Section(f"here: {summary.model['name']}", note, rows)


def _measured(metric: str, names: Mapping[str, str]) -> tuple[str, int] | None:
    """The scorer of this run that measures a metric, and what its unit is multiplied by; None if there is none."""
    kind, factor = SCORERS.get(metric, ("", 1))
    return (names[kind], factor) if kind in names else None


def _own(measured: tuple[str, int] | None, method: str, summary: Summary) -> Cell:
    if measured is None:
        return Cell("–")
    scorer, factor = measured
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
    column = [row[metric] for row in entry.values.values() if metric in row]
    decimals = max(len(f"{number:g}".partition(".")[2]) for number in column)
    return Cell(
        f"{value:.{decimals}f}",
        "" if method == first or base is None else f"({signed(value - base, max(2, decimals))})",
    )


def _needed(entry: Published, metric: str, summary: Summary, names: Mapping[str, str]) -> int | None:
    """Prompts that show the gain of the setting's second row; None where it has none or this run lacks the scorer."""
    values = [row[metric] for row in list(entry.values.values())[:2] if metric in row]
    measured, method = _measured(metric, names), subject(summary)
    if len(values) < 2 or measured is None or method is None or values[0] == values[1]:
        return None
    scorer, factor = measured
    found = summary.methods[method].scorers[scorer].overall
    if not found.standard_error:
        return None
    return clusters_needed((values[1] - values[0]) / factor, found.standard_error, found.num_prompts)
