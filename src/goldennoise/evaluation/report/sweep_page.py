"""The page of a sweep: its artifacts in the order of one number, and a line through the options of each."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from goldennoise.evaluation.report.page import Figure, render
from goldennoise.evaluation.report.sweep_plot import MOST_OPTIONS, coordinates_of_sweep
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table, to_latex, to_markdown
from goldennoise.evaluation.sweep import differing, options_of, shown
from goldennoise.store.artifacts import Artifact


@dataclass(frozen=True)
class Swept:
    """Artifacts of a sweep and the number `metric` of each."""

    metric: str
    lower_is_better: bool
    artifacts: Sequence[Artifact]
    numbers: Sequence[float]

    @cached_property
    def values(self) -> dict[str, float]:
        """Reference -> number, the best first."""
        found = zip((each.reference for each in self.artifacts), self.numbers, strict=True)
        return dict(sorted(found, key=lambda one: one[1] if self.lower_is_better else -one[1]))

    @property
    def best(self) -> str:
        """Its reference."""
        return next(iter(self.values))

    @cached_property
    def options(self) -> dict[str, dict[str, Any]]:
        """Dotted option -> reference -> value, of those that differ."""
        return differing({each.reference: [options_of(each)] for each in self.artifacts})

    @property
    def headline(self) -> str:
        """Which one is the best."""
        return (
            f"Of {len(self.artifacts)} artifacts {self.best} is the best: {self.metric} = {self.values[self.best]:.6g}"
        )

    @property
    def mend(self) -> str:
        """What the best was made with, of what differs, as a command line has it."""
        chosen = {key: values[self.best] for key, values in self.options.items() if key != "inputs"}
        written = (f"{key}={'null' if value is None else value}" for key, value in chosen.items())
        return f"Its options: {shlex.join(written)}" if chosen else "No option differs."


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
    content = SweepContent(title, swept.headline, [swept.mend], table, _figures(swept))
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
            Cell(reference, strong=reference == swept.best),
            Cell(f"{value:.6g}"),
            *(Cell(shown(values[reference])) for values in chosen.values()),
        ]
        for reference, value in swept.values.items()
    ]
    order = "lowest" if swept.lower_is_better else "highest"
    differ = ", ".join(swept.options) or "none"
    notes = [f"The {order} {swept.metric} stands first, and its artifact is marked. Options that differ: {differ}."]
    return Table("The sweep", columns, [Section("all artifacts", "", rows)], notes)


def _figures(swept: Swept) -> list[Figure]:
    if not swept.options:
        return []
    return [
        Figure(
            "Options and result",
            coordinates_of_sweep(swept.options, swept.metric, swept.values, swept.best),
            f"A line per artifact through its options and its {swept.metric}; the numbers are in the table.",
            f"A line per artifact. The last axis is {swept.metric}. The coloured line is the best.",
        )
    ]
