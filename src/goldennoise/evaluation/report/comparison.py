"""What the page of several models shows: the tables and figures of an evaluation's, with arms for methods."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from goldennoise.evaluation.arms import Arms, Measured
from goldennoise.evaluation.report import plots
from goldennoise.evaluation.report.checks import gap_table
from goldennoise.evaluation.report.contents import settings
from goldennoise.evaluation.report.grids import RULE, deciding_scorer, example_rows
from goldennoise.evaluation.report.numbers import grid_size
from goldennoise.evaluation.report.page import Figure, PageContent
from goldennoise.evaluation.report.protocol import protocol_notes
from goldennoise.evaluation.report.results import (
    DETECTABLE,
    category_table,
    correction_of,
    cost_note,
    front_note,
    intervals_note,
    main_scorer,
    result_table,
)
from goldennoise.evaluation.report.scorers import scorer_table
from goldennoise.evaluation.report.sentences import headline, sentence, subject
from goldennoise.evaluation.report.sweep_plot import MOST_OPTIONS, parallel_coordinates
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table
from goldennoise.evaluation.summary import Summary
from goldennoise.evaluation.sweep import shown
from goldennoise.generation.units import image_file

_ARM = Column("arm", numeric=False)
_OF_ITS_OWN = ("model.path", "model.num_steps", "model.guidance")
"""Options that the table of arms has a column for, whether they differ or not."""


def comparison_content(
    title: str, arms: Arms, summary: Summary, num_examples: int, options: Mapping[str, Mapping[str, Any]]
) -> PageContent:
    """The page of the comparison `summary` of `arms`. options: dotted option -> arm -> value, of those that differ."""
    others = [arm for arm in arms if arm not in (summary.reference, subject(summary))]
    gaps = gap_table(summary)
    return PageContent(
        title=title,
        headline=headline(summary),
        sentences=[sentence(summary, arm) for arm in others],
        results=comparison_table(arms, summary),
        kinds=category_table(summary),
        checks=[] if gaps is None else [replace(gaps, columns=[_ARM, *gaps.columns[1:]])],
        scorers=scorer_table(summary),
        figures=[*_figures(summary), *_sweep(summary, options)],
        rows=_example_rows(arms, summary, num_examples),
        grid_note=_grid_note(summary),
        method_colours=plots.method_numbers(summary),
        published=None,
        made=_made(arms, summary),
        arms=arms_table(arms, options),
    )


def arms_table(arms: Arms, options: Mapping[str, Mapping[str, Any]]) -> Table:
    """The model and the method of every arm; where its runs differ, each value once. options: further ones that
    differ."""
    titles = ("model", "steps", "guidance", "method", "runs")
    further = {option: values for option, values in options.items() if option not in _OF_ITS_OWN}
    chosen = {option: further[option] for option in [*further][:MOST_OPTIONS]}
    rows = [[Cell(arm), *map(Cell, _told(runs)), *_values(arm, chosen)] for arm, runs in arms.items()]
    columns = [_ARM, *(Column(title, numeric=title != "model" and title != "method") for title in titles)]
    columns += [Column(option.rpartition(".")[2], numeric=False) for option in chosen]
    notes = ["Model, steps and guidance are the model's own; a method may sample otherwise."]
    notes += [f"Options that differ: {', '.join(options)}."] if options else []
    return Table("Arms", columns, [Section("all arms", "", rows)], notes)


def _values(arm: str, options: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    return [Cell(shown(values[arm])) for values in options.values()]


def _told(runs: Sequence[Measured]) -> list[str]:
    models = [each.summary.model for each in runs]
    columns: list[list[Any]] = [
        [model["name"] for model in models],
        [model["num_steps"] for model in models],
        [f"{model['guidance']:g}" for model in models],
        [each.run.method for each in runs],
    ]
    return [*(", ".join(map(str, dict.fromkeys(column))) for column in columns), str(len(runs))]


def comparison_table(arms: Arms, summary: Summary) -> Table:
    """Arms by every scorer, each beside what it costs."""
    table = result_table(summary)
    notes = [
        f"{grid_size(summary.num_prompts, summary.num_seeds)}, paired. Models with latents of one shape start from "
        f"the same source noise; model.tone may add a tone to it.",
        correction_of(summary).note,
        intervals_note(summary),
        *([DETECTABLE] if correction_of(summary).num else []),
        "Wins, ties and losses: shares of (prompt, seed) pairs; scores within 0.001 % of each other tie.",
        cost_note(summary),
    ]
    if any(len(runs) > 1 for runs in arms.values()):
        notes.insert(
            3,
            "Where an arm has several runs, the resamples draw runs too, widened to the variance of new runs (Rao and "
            "Wu 1988). Arms with equally many runs are paired run by run, others by all pairs of runs. Few runs say "
            "little of how runs differ.",
        )
    return replace(table, columns=[_ARM, *table.columns[1:]], footnotes=[*notes, *protocol_notes(summary)])


def _figures(summary: Summary) -> list[Figure]:
    scorer = main_scorer(summary)
    return [
        Figure(
            "Quality against cost",
            plots.quality_against_cost(summary),
            f"Mean {scorer} with 95 % interval over model evaluations per image, one point per arm; the numbers are in "
            "the table of results.",
            f"Mean {scorer} over what an image costs, with 95 % intervals of the mean. The dashed line is "
            f"{summary.reference}{front_note(summary)}. "
            "Arms of about equal cost are set a little apart.",
        ),
        Figure(
            "By kind of prompt",
            plots.category_bars(summary),
            f"Bars of mean {scorer} per kind of prompt and arm with 95 % intervals; the numbers are in the table of "
            "kinds.",
            "Means with 95 % intervals. The arms are paired, so where intervals of means overlap there may still be a "
            "difference: the table of kinds below has the paired differences.",
        ),
    ]


def _sweep(summary: Summary, options: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    """Options beside what they cost and reach; nothing where there are too few to be read off the tables."""
    if not options or (len(options) < 2 and len(summary.methods) < 3):
        return []
    scorer = main_scorer(summary)
    left_out = [*options][MOST_OPTIONS:]
    further = f" {len(left_out)} more options differ: {', '.join(left_out)}." if left_out else ""
    return [
        Figure(
            "Options, cost and quality",
            parallel_coordinates(summary, options),
            f"A line per arm through its options, its cost and its mean {scorer}; the numbers are in the tables.",
            f"A line per arm. The last axes are model evaluations per image and mean {scorer}. Coloured lines are arms "
            f"of the Pareto front by these means.{further}",
        )
    ]


def _example_rows(arms: Arms, summary: Summary, num_examples: int) -> Sequence[Any]:
    first = {arm: runs[0] for arm, runs in arms.items()}
    table = pd.concat([each.rows.assign(method=arm) for arm, each in first.items()], ignore_index=True)

    def image_of(arm: str, prompt_id: str, seed: int) -> Path:
        run = first[arm].run
        return image_file(run.scores.path, run.method, prompt_id, seed)

    return example_rows(table, summary, num_examples, image_of)


def _grid_note(summary: Summary) -> str:
    judging = deciding_scorer(summary)
    marks = f" Marks: right (✓) or wrong (✗) by {judging}." if judging else ""
    return f"Which ones: {RULE}. Of an arm with several runs the images are the first run's.{marks}"


def _made(arms: Arms, summary: Summary) -> dict[str, str]:
    scores = arms[summary.reference][0].run.scores
    made = {arm: "; ".join(map(_made_with, runs)) for arm, runs in arms.items()}
    made["Prompts and seeds"] = (
        f"{grid_size(summary.num_prompts, summary.num_seeds)}, root seed {scores.recorded('config', 'seed')}"
    )
    told = (f"{name}, version {info.version}, {info.role}" for name, info in summary.scorers.items())
    return made | {"Scorers": "; ".join(told)}


def _made_with(each: Measured) -> str:
    run, model = each.run, each.summary.model
    method = settings(run.scores.recorded("config", "method", run.method, kind=dict))
    return (
        f"{run.scores.reference}, fingerprint {run.scores.fingerprint[:16]}: {run.method} ({method}); {model['name']}, "
        f"{model['num_steps']} steps, guidance {model['guidance']:g}"
    )
