"""Parallel coordinates: an axis for each option that differs between arms, for the cost and for the main scorer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from goldennoise.evaluation.report.drawing import ACCENT, LINE, METHODS, RAISED, SOFT, STYLE, as_svg, new_figure
from goldennoise.evaluation.report.numbers import scale_of
from goldennoise.evaluation.report.plots import method_numbers
from goldennoise.evaluation.report.results import main_scorer, pareto_front
from goldennoise.evaluation.summary import Summary
from goldennoise.evaluation.sweep import shown

MOST_OPTIONS = 7
"""Axes of further options would stand too close."""

_MOST_TICKS = 8
_LOG_FROM = 50.0
"""Ratio of the largest number on an axis to the smallest, above 0, from which the axis is logarithmic."""
_MOST_LEVEL = 5
"""Titles of more axes would touch, so they are turned."""


@dataclass(frozen=True)
class _Axis:
    """places: of every arm, from 0 (bottom) to 1. ticks: label -> place."""

    title: str
    places: Mapping[str, float]
    ticks: Mapping[str, float]


def parallel_coordinates(summary: Summary, options: Mapping[str, Mapping[str, Any]]) -> str:
    """The arms that are the methods of `summary`. options: dotted option -> arm -> value; the first `MOST_OPTIONS`.

    Lines of the Pareto front have the colours of their arms, the others are grey.
    """
    looks, front = method_numbers(summary), pareto_front(summary)
    return _drawn(_axes(summary, options), {arm: METHODS[looks[arm]] for arm in summary.methods if arm in front})


def coordinates_of_sweep(
    options: Mapping[str, Mapping[str, Any]], metric: str, values: Mapping[str, float], best: Sequence[str]
) -> str:
    """A line through the options and the number `metric` of every artifact of a sweep; those of `best` are coloured.

    options: dotted option -> artifact -> value; the first `MOST_OPTIONS`. values: artifact -> its number.
    """
    chosen = [*options.items()][:MOST_OPTIONS]
    last = _numeric(metric, values, [min(values.values()), max(values.values())], None)
    return _drawn([*(_axis(name, of_each) for name, of_each in chosen), last], dict.fromkeys(best, ACCENT))


def _drawn(axes: Sequence[_Axis], colours: Mapping[str, str]) -> str:
    """colours: of the lines that stand out; the others are grey and lie below them."""
    with matplotlib.rc_context(STYLE):
        figure, drawn = new_figure(9.6, 4.4, 1)
        for arm in sorted(axes[0].places, key=lambda arm: arm in colours):
            colour, width = (colours[arm], 2.4) if arm in colours else (SOFT, 1.0)
            heights = [axis.places[arm] for axis in axes]
            drawn.plot(
                range(len(axes)),
                heights,
                color=colour,
                lw=width,
                alpha=1.0 if arm in colours else 0.5,
                marker="o",
                ms=4,
            )
        for place, axis in enumerate(axes):
            _draw_axis(drawn, place, axis, 0 if len(axes) <= _MOST_LEVEL else 20)
        drawn.set_xlim(-0.1, len(axes) - 0.65)
        drawn.set_ylim(-0.06, 1.1)
        drawn.axis("off")
        return as_svg(figure, "parallel-coordinates")


def _axes(summary: Summary, options: Mapping[str, Mapping[str, Any]]) -> list[_Axis]:
    scorer = main_scorer(summary)
    scale = scale_of(summary, scorer)
    costs = {arm: result.evaluations_per_image for arm, result in summary.methods.items()}
    means = {arm: scale.factor * result.scorers[scorer].overall.mean for arm, result in summary.methods.items()}
    last = _numeric(f"{scorer}, {scale.unit}", means, [min(means.values()), max(means.values())], scale.decimals)
    chosen = [*options.items()][:MOST_OPTIONS]
    return [*(_axis(name, values) for name, values in chosen), _axis("model evaluations", costs), last]


def _axis(title: str, values: Mapping[str, Any]) -> _Axis:
    """Numbers by their value, over orders of magnitude by its logarithm; other values at equal distances, in the order
    in which they first appear."""
    different = [*dict.fromkeys(map(shown, values.values()))]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()):
        ticks = sorted({float(value) for value in values.values()})
        return _numeric(title, values, ticks if len(ticks) <= _MOST_TICKS else [ticks[0], ticks[-1]], None)
    heights = dict(zip(different, np.linspace(0, 1, len(different)).tolist(), strict=True))
    return _Axis(title, {arm: heights[shown(value)] for arm, value in values.items()}, heights)


def _numeric(title: str, values: Mapping[str, Any], ticks: Sequence[float], decimals: int | None) -> _Axis:
    low, high = min(values.values()), max(values.values())
    is_log = low > 0 and high / low >= _LOG_FROM

    def height(value: float) -> float:
        if is_log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low) if high > low else 0.5

    labels = {f"{tick:.4g}" if decimals is None else f"{tick:.{decimals}f}": height(tick) for tick in ticks}
    return _Axis(title, {arm: height(value) for arm, value in values.items()}, labels)


def _draw_axis(drawn: Axes, place: int, axis: _Axis, degrees: int) -> None:
    """degrees: by which the title is turned."""
    drawn.plot([place, place], [0, 1], color=LINE, lw=1.5, zorder=0)
    drawn.text(place, 1.06, axis.title.rpartition(".")[2], ha="left", va="bottom", fontweight="bold", rotation=degrees)
    for label, height in axis.ticks.items():
        background = {"facecolor": RAISED, "edgecolor": "none", "pad": 1.0}
        drawn.text(place + 0.04, height, label.replace("-", "−"), ha="left", va="center", fontsize=9.5, bbox=background)
