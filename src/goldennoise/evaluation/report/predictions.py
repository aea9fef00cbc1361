"""The referee's table of predictors, and the page around it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib

from goldennoise.evaluation.prediction import Estimate, Verdict
from goldennoise.evaluation.predictions import Judgement
from goldennoise.evaluation.report.drawing import METHODS, PALETTE, STYLE, as_svg, legend_above, new_figure
from goldennoise.evaluation.report.numbers import SHARE, Scale
from goldennoise.evaluation.report.page import Figure
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table

CORRELATION = Scale(1.0, 2, "", "")
NONE = Cell("–")
_COLUMNS = 3


@dataclass(frozen=True)
class PredictionPage:
    """What `templates/prediction.html` shows. made: term -> text."""

    title: str
    headline: str
    table: Table
    figure: Figure
    made: Mapping[str, str]


def prediction_page(title: str, found: Sequence[Judgement], num_seeds: int, made: Mapping[str, str]) -> PredictionPage:
    """The page of all judgements."""
    judge = found[0]
    choosing = [name for name, verdict in judge.verdicts.items() if _chooses(verdict)]
    headline = f"By {judge.scorer}, {len(choosing)} of {len(judge.verdicts)} predictors choose better than chance"
    caption = (
        f"Spearman's correlation with {judge.scorer}: over all images, and within a prompt with its 95 % interval. "
        "What knows only which prompt is hard lies on the right at zero."
    )
    figure = Figure(
        "Between prompts and within",
        _correlations(judge),
        f"One point per predictor: correlation with {judge.scorer} within a prompt over the pooled one; the numbers "
        "are in the table.",
        caption,
    )
    return PredictionPage(title, headline, prediction_table(found, num_seeds), figure, made)


def _chooses(verdict: Verdict) -> bool:
    return verdict.gain.is_clear and (verdict.gain.value or 0) > 0


def prediction_table(found: Sequence[Judgement], num_seeds: int) -> Table:
    """A section for each scorer, a row for each predictor."""
    interval = "[95 %]"
    columns = [
        Column("predictor", numeric=False),
        Column("evaluations"),
        Column("pooled Spearman", interval),
        Column("Spearman within a prompt", interval),
        Column("gain of the choice", interval),
        Column("gain at equal cost", interval),
        Column("best of m"),
        # A narrow page hides the last columns, so they hold what repeats the others.
        Column("regret", interval),
        Column("tau-b within a prompt", interval),
        Column("pooled Pearson", interval),
        Column("prompts that count within"),
    ]
    notes = [
        f"Each predictor chooses one of {num_seeds} noises of a prompt. Intervals resample prompts.",
        "A marked interval excludes zero.",
        "Pooled: over all images. Within a prompt: mean over the prompts where scores and predictions both differ.",
        "Regret: the prompt's best score minus that of the choice. Gain: that of the choice minus the prompt's mean.",
        "Equal cost: predicting all noises and sampling the choice, against best of m by the selecting scorer with as "
        f"many evaluations of the model; >: these pay for more than the {num_seeds} noises there are.",
        "Difficulty is a control: it knows the prompt alone, so its regret is that of chance.",
    ]
    return Table("What predictors choose", columns, [_section(judgement) for judgement in found], notes)


def _section(judgement: Judgement) -> Section:
    first = next(iter(judgement.verdicts.values()))
    scale = _scale(judgement.unit, first.chance_regret)
    chance = scale.mean(first.chance_regret.value or 0.0)
    role = "it selects, so it is no evidence; " if judgement.selects else ""
    rows = [_row(name, verdict, judgement, scale) for name, verdict in judgement.verdicts.items()]
    return Section(f"by {judgement.scorer}", f"{scale.unit}; {role}regret of chance {chance}", rows)


def _row(name: str, verdict: Verdict, judgement: Judgement, scale: Scale) -> list[Cell]:
    equal = verdict.gain_at_equal_cost
    paid = f"{'> ' if verdict.is_capped else ''}{verdict.num_equal_cost:.4g}"
    return [
        Cell(name),
        Cell(f"{judgement.num_evaluations[name]:g}"),
        _signed(verdict.pooled_spearman, CORRELATION),
        _signed(verdict.within_spearman, CORRELATION),
        _signed(verdict.gain, scale),
        NONE if equal is None else _signed(equal, scale),
        NONE if equal is None else Cell(paid),
        _plain(verdict.regret, scale),
        _signed(verdict.within_kendall, CORRELATION),
        _signed(verdict.pooled_pearson, CORRELATION),
        Cell(str(verdict.num_within)),
    ]


def _signed(found: Estimate, scale: Scale) -> Cell:
    if found.value is None:
        return NONE
    return Cell(scale.difference(found.value), _interval(found, scale), found.is_clear)


def _plain(found: Estimate, scale: Scale) -> Cell:
    assert found.value is not None, "every prompt has a regret"
    return Cell(scale.mean(found.value), _interval(found, scale))


def _interval(found: Estimate, scale: Scale) -> str:
    if found.low is None or found.high is None:
        return "[no interval]"
    return f"[{scale.mean(found.low)}, {scale.mean(found.high)}]"


def _scale(unit: str, regret: Estimate) -> Scale:
    """Per cent for shares; else as many decimals as show three digits of the regret of chance."""
    if unit.endswith(SHARE):
        return Scale(100.0, 1, "% right" if unit == SHARE else f"% {unit}", "points")
    decimals = min(max(2 - math.floor(math.log10(regret.value)), 0), 6) if regret.value else 3
    return Scale(1.0, decimals, unit, unit)


def _correlations(judgement: Judgement) -> str:
    """Within a prompt over pooled; a predictor that never differs within a prompt lies at zero."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(9.6, 4.2, len(judgement.verdicts), _COLUMNS)
        for place, (name, verdict) in enumerate(judgement.verdicts.items()):
            pooled, within = verdict.pooled_spearman.value or 0.0, verdict.within_spearman
            value = within.value or 0.0
            ends = [value if end is None else end for end in (within.low, within.high)]
            errors = [[max(value - ends[0], 0)], [max(ends[1] - value, 0)]]
            axes.errorbar(pooled, value, yerr=errors, fmt="o", color=METHODS[place % PALETTE], label=name, capsize=2)
        axes.set_xlabel("pooled correlation")
        axes.set_ylabel("correlation within a prompt")
        legend_above(axes, _COLUMNS)
        return as_svg(figure, "prediction-correlations")
