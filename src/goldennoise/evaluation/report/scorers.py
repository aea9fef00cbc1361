"""What the numbers of each scorer mean: unit, direction, usual range, and one standard deviation."""

from goldennoise.evaluation.report.numbers import Scale, scale_of
from goldennoise.evaluation.report.results import reporting_first
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table
from goldennoise.evaluation.summary import Summary
from goldennoise.scorers.protocol import DIRECTION


def scorer_table(summary: Summary) -> Table:
    """A row per scorer, in the order of the results."""
    columns = [
        Column("scorer", numeric=False),
        Column("unit", numeric=False),
        Column("direction", numeric=False),
        Column("usual range"),
        Column("one standard deviation here"),
    ]
    rows = [_row(summary, scorer) for scorer in reporting_first(summary)]
    note = (
        "Usual range: between which scores of single images of today's models lie, as the scorer says; docs/scorers.md "
        f"has the sources. One standard deviation: measured here, of the scores of all images of {summary.reference}."
    )
    return Table("What the scores mean", columns, [Section("all scorers", "", rows)], [note, *cut_notes(summary)])


def cut_notes(summary: Summary) -> list[str]:
    """A sentence per scorer that says how much of a prompt it reads."""
    return [
        f"{name} reads the first {info.num_tokens} tokens of a prompt: {info.prompts_cut:,} of {summary.num_prompts:,} "
        "prompts were cut."
        for name, info in summary.scorers.items()
        if info.prompts_cut is not None
    ]


def _row(summary: Summary, scorer: str) -> list[Cell]:
    info, scale = summary.scorers[scorer], scale_of(summary, scorer)
    return [
        Cell(scorer),
        Cell(scale.unit),
        Cell(DIRECTION[info.higher_is_better]),
        Cell("–" if info.usual is None else _range(info.usual, scale)),
        Cell(scale.mean(info.deviation)),
    ]


def _range(usual: tuple[float, float], scale: Scale) -> str:
    low, high = (f"{scale.factor * end:g}".replace("-", "−") for end in usual)
    return f"{low} to {high}"
