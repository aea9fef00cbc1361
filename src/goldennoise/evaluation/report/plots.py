"""Figures of an evaluation: quality against cost, by kind of prompt, and a network's training."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from goldennoise.evaluation.report.drawing import (
    ACCENT,
    LINE,
    METHODS,
    PALETTE,
    RAISED,
    SOFT,
    STYLE,
    TEXT,
    as_svg,
    errors_of,
    legend_above,
    new_figure,
)
from goldennoise.evaluation.report.numbers import scale_of
from goldennoise.evaluation.report.results import main_scorer, pareto_front, readable
from goldennoise.evaluation.report.sentences import subject
from goldennoise.evaluation.summary import Summary

_MARKERS, _HATCHES = "osD^", (None, "///", "...", "xxx")
"""Shape of a method's point and pattern of its bars: methods of the same colour differ in them."""


def method_numbers(summary: Summary) -> dict[str, int]:
    """Colour number of every method, the same in all figures; 0 is the reference's alone, the others share the rest."""
    return {method: number for method, (number, _) in _looks(summary).items()}


def _looks(summary: Summary) -> dict[str, tuple[int, int]]:
    """Colour number of every method, and how many before it have the same."""
    others = [method for method in summary.methods if method != summary.reference]
    shared = PALETTE - 1
    return {summary.reference: (0, 0)} | {
        method: (1 + place % shared, place // shared) for place, method in enumerate(others)
    }


def methods_by_kind(summary: Summary) -> list[str]:
    """What `category_bars` shows: all methods, or where bars would be too many those that the page is about.

    These are the reference, the headline's method and the Pareto front.
    """
    if len(summary.methods) <= PALETTE:
        return list(summary.methods)
    shown = {summary.reference, subject(summary), *pareto_front(summary)}
    return [method for method in summary.methods if method in shown]


def category_bars(summary: Summary) -> str:
    """Mean per kind of prompt and method of `methods_by_kind` with its interval, main scorer."""
    scorer = main_scorer(summary)
    scale, looks = scale_of(summary, scorer), _looks(summary)
    results = {method: summary.methods[method].scorers[scorer] for method in methods_by_kind(summary)}
    categories = list(results[summary.reference].categories)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(9.6, 3.9, len(results))
        width = 0.8 / len(results)
        for place, (method, found) in enumerate(results.items()):
            bars = [found.overall, *(found.categories[category] for category in categories)]
            x = np.arange(len(bars)) + (place - (len(results) - 1) / 2) * width
            means = [scale.factor * bar.mean for bar in bars]
            colour, before = looks[method]
            hatch = _HATCHES[before % len(_HATCHES)]
            axes.bar(x, means, width * 0.92, color=METHODS[colour], edgecolor=RAISED, lw=0, hatch=hatch, label=method)
            axes.errorbar(x, means, yerr=errors_of(bars, scale), fmt="none", ecolor=TEXT, elinewidth=1, capsize=2)
        axes.set_xticks(range(len(categories) + 1), ["all", *map(readable, categories)])
        axes.axvline(0.5, color=LINE, linewidth=1)
        axes.grid(visible=False, axis="x")
        axes.tick_params(length=0)
        axes.set_ylabel(f"{scorer}, {scale.unit}")
        legend_above(axes)
        return as_svg(figure, "category-bars")


def quality_against_cost(summary: Summary) -> str:
    """Mean of the main scorer with its interval over model evaluations per image, log axis."""
    scorer = main_scorer(summary)
    scale, looks = scale_of(summary, scorer), _looks(summary)
    found = {method: result.scorers[scorer].overall for method, result in summary.methods.items()}
    costs = {method: result.evaluations_per_image for method, result in summary.methods.items()}
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(9.6, 3.9, len(costs))
        axes.set_xscale("log")
        axes.axhline(scale.factor * found[summary.reference].mean, color=METHODS[0], linewidth=1, linestyle=(0, (4, 4)))
        places = _set_apart(costs)
        front = pareto_front(summary)
        means_of_front = [scale.factor * found[method].mean for method in front]
        axes.plot([places[method] for method in front], means_of_front, color=SOFT, linewidth=1, zorder=1)
        for method, (colour, before) in looks.items():
            x, means, marker = [places[method]], [scale.factor * found[method].mean], _MARKERS[before % len(_MARKERS)]
            errors = errors_of([found[method]], scale)
            axes.errorbar(x, means, yerr=errors, fmt=marker, color=METHODS[colour], ms=9, capsize=4, lw=2, label=method)
        ticks = sorted(set(costs.values()))
        axes.xaxis.set_major_locator(FixedLocator(_readable_ticks(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        axes.set_xlim(min(ticks) / 1.25, max(places.values()) * 1.25)
        axes.set_xlabel("model evaluations per image (log scale)")
        axes.set_ylabel(f"{scorer}, {scale.unit}")
        legend_above(axes)
        return as_svg(figure, "quality-against-cost")


def training_curve(history: pd.DataFrame, identity_loss: float | None, label: str) -> str:
    """Training and validation loss per epoch; identity_loss: of leaving the noise as it is; label: of the axis."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(9.6, 3.4, 3)
        for column, colour, part in (("train_loss", SOFT, "training"), ("val_loss", ACCENT, "validation")):
            points = history.dropna(subset=[column]).groupby("epoch")[column].mean()
            axes.plot(points.index, points, color=colour, lw=2, marker="o", ms=3, label=part)
        if identity_loss is not None:
            axes.axhline(
                identity_loss, color=TEXT, lw=1, linestyle=(0, (4, 4)), label="noise left as it is (validation)"
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        legend_above(axes)
        return as_svg(figure, "training-curve")


def _set_apart(costs: Mapping[str, float]) -> dict[str, float]:
    """Costs with at least 5 % from one to the next, so that intervals of methods that cost the same stay visible."""
    places: dict[str, float] = {}
    last = 0.0
    for method, cost in sorted(costs.items(), key=lambda item: item[1]):
        last = places[method] = max(cost, 1.05 * last)
    return places


def _readable_ticks(values: Sequence[float]) -> list[float]:
    """Values from small to large, without those so close to the one before that their labels would touch."""
    kept = [values[0]]
    for value in values[1:]:
        if value > kept[-1] * 1.15:
            kept.append(value)
    return kept
