"""Figures as inline SVG whose colours are the page's CSS variables, so they follow its light or dark scheme."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from goldennoise.evaluation.report.numbers import Scale, scale_of
from goldennoise.evaluation.report.results import main_scorer, pareto_front, readable, subject
from goldennoise.evaluation.statistics import Comparison
from goldennoise.evaluation.summary import Summary

PALETTE = 8
"""Number of method colours the page defines: --method-0 ... --method-7."""

_MARKERS, _HATCHES = "osD^", (None, "///", "...", "xxx")
"""Shape of a method's point and pattern of its bars: methods of the same colour differ in them."""
_LEGEND_COLUMNS = 5

# Matplotlib knows no CSS variables: each stands in for one and is replaced in the SVG.
_TEXT, _LINE, _SOFT, _ACCENT, _RAISED = "#010203", "#010204", "#010205", "#010206", "#010207"
_METHODS = [f"#0102{10 + number:02x}" for number in range(PALETTE)]
_PAGE = {
    _TEXT: "var(--text)",
    _LINE: "var(--line)",
    _SOFT: "var(--soft)",
    _ACCENT: "var(--accent)",
    _RAISED: "var(--raised)",
}
_VARIABLES = _PAGE | {colour: f"var(--method-{number})" for number, colour in enumerate(_METHODS)}

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "legend.frameon": False,
}


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
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(9.6, 3.9, len(results))
        width = 0.8 / len(results)
        for place, (method, found) in enumerate(results.items()):
            bars = [found.overall, *(found.categories[category] for category in categories)]
            x = np.arange(len(bars)) + (place - (len(results) - 1) / 2) * width
            means = [scale.factor * bar.mean for bar in bars]
            colour, before = looks[method]
            hatch = _HATCHES[before % len(_HATCHES)]
            axes.bar(x, means, width * 0.92, color=_METHODS[colour], edgecolor=_RAISED, lw=0, hatch=hatch, label=method)
            axes.errorbar(x, means, yerr=_errors(bars, scale), fmt="none", ecolor=_TEXT, elinewidth=1, capsize=2)
        axes.set_xticks(range(len(categories) + 1), ["all", *map(readable, categories)])
        axes.axvline(0.5, color=_LINE, linewidth=1)
        axes.grid(visible=False, axis="x")
        axes.tick_params(length=0)
        axes.set_ylabel(f"{scorer}, {scale.unit}")
        _legend_above(axes)
        return _svg(figure, "category-bars")


def quality_against_cost(summary: Summary) -> str:
    """Mean of the main scorer with its interval over model evaluations per image, log axis."""
    scorer = main_scorer(summary)
    scale, looks = scale_of(summary, scorer), _looks(summary)
    found = {method: result.scorers[scorer].overall for method, result in summary.methods.items()}
    costs = {method: result.evaluations_per_image for method, result in summary.methods.items()}
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(9.6, 3.9, len(costs))
        axes.set_xscale("log")
        axes.axhline(
            scale.factor * found[summary.reference].mean, color=_METHODS[0], linewidth=1, linestyle=(0, (4, 4))
        )
        places = _set_apart(costs)
        front = pareto_front(summary)
        means_of_front = [scale.factor * found[method].mean for method in front]
        axes.plot([places[method] for method in front], means_of_front, color=_SOFT, linewidth=1, zorder=1)
        for method, (colour, before) in looks.items():
            x, means, marker = [places[method]], [scale.factor * found[method].mean], _MARKERS[before % len(_MARKERS)]
            errors = _errors([found[method]], scale)
            axes.errorbar(
                x, means, yerr=errors, fmt=marker, color=_METHODS[colour], ms=9, capsize=4, lw=2, label=method
            )
        ticks = sorted(set(costs.values()))
        axes.xaxis.set_major_locator(FixedLocator(_readable_ticks(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        axes.set_xlim(min(ticks) / 1.25, max(places.values()) * 1.25)
        axes.set_xlabel("model evaluations per image (log scale)")
        axes.set_ylabel(f"{scorer}, {scale.unit}")
        _legend_above(axes)
        return _svg(figure, "quality-against-cost")


def training_curve(history: pd.DataFrame, identity_loss: float | None, label: str) -> str:
    """Training and validation loss per epoch; identity_loss: of leaving the noise as it is; label: of the axis."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(9.6, 3.4, 3)
        for column, colour, part in (("train_loss", _SOFT, "training"), ("val_loss", _ACCENT, "validation")):
            points = history.dropna(subset=[column]).groupby("epoch")[column].mean()
            axes.plot(points.index, points, color=colour, lw=2, marker="o", ms=3, label=part)
        if identity_loss is not None:
            axes.axhline(
                identity_loss, color=_TEXT, lw=1, linestyle=(0, (4, 4)), label="noise left as it is (validation)"
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        _legend_above(axes)
        return _svg(figure, "training-curve")


def _figure(width: float, height: float, num_named: int) -> tuple[Figure, Axes]:
    """A figure without pyplot, which would keep it in a global list; higher by the further rows of its legend."""
    further_rows = (num_named - 1) // _LEGEND_COLUMNS
    figure = Figure(figsize=(width, height + 0.25 * further_rows), layout="constrained")
    return figure, figure.subplots()


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=_LEGEND_COLUMNS, handlelength=1.2, borderaxespad=0.2)


def _errors(found: Sequence[Comparison], scale: Scale) -> np.ndarray:
    """Distances (2, n) from the means down and up to the ends of their intervals; none where there is no interval."""
    ends = [
        (0.0, 0.0)
        if one.mean_low is None or one.mean_high is None
        else (one.mean - one.mean_low, one.mean_high - one.mean)
        for one in found
    ]
    return scale.factor * np.maximum(np.array(ends).T, 0)


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


def _svg(figure: Figure, name: str) -> str:
    """The bare <svg> element: no XML head, no metadata, CSS variables for colours, ids of its own."""
    written = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # A style inside an inline SVG would hold for the whole page, and a size would keep it from shrinking with it.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"|\s(width|height)="[\d.]+pt"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.strip()
