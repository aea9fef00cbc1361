"""The page of a sweep: its artifacts in the order of one number, and a line through the options of each."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from goldennoise.evaluation.report.page import Figure, render
from goldennoise.evaluation.report.sweep_plot import MOST_OPTIONS, coordinates_of_sweep
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table, to_latex, to_markdown
from goldennoise.evaluation.sweep import shown


@dataclass(frozen=True)
class Swept:
    """Artifacts of a sweep.

    numbers: reference -> number `metric`. options: dotted option -> reference -> value, of those that differ.
    incomparable: those of the options that change what the number is measured on.
    """

    metric: str
    lower_is_better: bool
    numbers: Mapping[str, float]
    options: Mapping[str, Mapping[str, Any]]
    incomparable: Sequence[str] = ()

    @cached_property
    def values(self) -> dict[str, float]:
        """Reference -> number, the best first."""
        return dict(sorted(self.numbers.items(), key=lambda one: one[1] if self.lower_is_better else -one[1]))

    @cached_property
    def best(self) -> list[str]:
        """References with the best number; none where numbers cannot be compared."""
        if self.incomparable:
            return []
        (_, best), *_ = self.values.items()
        return [reference for reference, value in self.values.items() if value == best]

    @property
    def headline(self) -> str:
        """Which one is the best."""
        if self.incomparable:
            return f"{len(self.values)} artifacts, whose {self.metric} cannot be compared"
        told = f"{self.metric} = {self.values[self.best[0]]:.6g}"
        if len(self.best) > 1:
            return f"Of {len(self.values)} artifacts {len(self.best)} have the best number: {told}"
        return f"Of {len(self.values)} artifacts {self.best[0]} is the best: {told}"

    @property
    def sentences(self) -> list[str]:
        """What the best was made with, of what differs, as a command line has it, or why there is none."""
        own = [option for option in self.options if option != "inputs"]
        if not own:
            return ["No option differs."]
        if self.incomparable:
            changing = ", ".join(self.incomparable)
            return [f"They differ in {changing}, and so in what {self.metric} is measured on. So none is the best."]
        if len(self.best) > 1:
            return []
        chosen = {option: self.options[option][self.best[0]] for option in own}
        written = (f"{key}={'null' if value is None else value}" for key, value in chosen.items())
        return [f"Its options: {shlex.join(written)}"]


@dataclass(frozen=True)
class SweepContent:
    """All that `templates/sweep.html` shows."""

    title: str
    headline: str
    sentences: Sequence[str]
    table: Table
    figures: Sequence[Figure]


def write_sweep(folder: Path, title: str, swept: Swept) -> Table:
    """index.html, tables.md and tables.tex in `folder`. Returns the table."""
    table = _table(swept)
    content = SweepContent(title, swept.headline, swept.sentences, table, _figures(swept))
    (folder / "index.html").write_text(render(content, "sweep.html"), encoding="utf-8")
    (folder / "tables.md").write_text(to_markdown(table), encoding="utf-8")
    (folder / "tables.tex").write_text(to_latex(table), encoding="utf-8")
    return table


def _table(swept: Swept) -> Table:
    chosen = {option: swept.options[option] for option in [*swept.options][:MOST_OPTIONS]}
    columns = [Column("artifact", numeric=False), Column(swept.metric)]
    columns += [Column(option.rpartition(".")[2], numeric=False) for option in chosen]
    rows = [
        [
            Cell(reference, strong=reference in swept.best),
            Cell(f"{value:.6g}"),
            *(Cell(shown(values[reference])) for values in chosen.values()),
        ]
        for reference, value in swept.values.items()
    ]
    order = "lowest" if swept.lower_is_better else "highest"
    differ = ", ".join(swept.options) or "none"
    marked = ", and its artifact is marked" if swept.best else ""
    notes = [f"The {order} {swept.metric} stands first{marked}. Options that differ: {differ}."]
    if len(chosen) < len(swept.options):
        notes.append(f"Columns and axes are those of the first {len(chosen)}.")
    return Table("The sweep", columns, [Section("all artifacts", "", rows)], notes)


def _figures(swept: Swept) -> list[Figure]:
    if not swept.options:
        return []
    best = " The coloured line is the best." if swept.best else ""
    return [
        Figure(
            "Options and result",
            coordinates_of_sweep(swept.options, swept.metric, swept.values, swept.best),
            f"A line per artifact through its options and its {swept.metric}; the numbers are in the table.",
            f"A line per artifact. The last axis is {swept.metric}.{best}",
        )
    ]
