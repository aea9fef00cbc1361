"""Figures of schedules: quality over evaluations, the levels that a network chose, and how it was trained."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from goldennoise.evaluation.report.drawing import (
    ACCENT,
    METHODS,
    SOFT,
    STYLE,
    TEXT,
    as_svg,
    errors_of,
    legend_above,
    new_figure,
    new_pair,
)
from goldennoise.evaluation.report.schedule_scores import Schedules

_COLUMNS = 3
"""Of the legend of curves, whose names are long."""


def curves(found: Schedules) -> str:
    """Mean of the main scorer over evaluations per image: a line for each fixed schedule, a diamond for a learned."""
    learned = {one.method: [one.method] for one in found.learned}
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(9.6, 4.6, len(found.fixed) + len(learned), _COLUMNS)
        for place, (name, methods) in enumerate([*found.fixed.items(), *learned.items()]):
            results = [found.summary.methods[method].scorers[found.scorer].overall for method in methods]
            costs = [found.evaluations(method) for method in methods]
            means = [found.scale.factor * result.mean for result in results]
            axes.errorbar(
                costs,
                means,
                yerr=errors_of(results, found.scale),
                color=METHODS[place % len(METHODS)],
                marker="D" if name in learned else "o",
                ms=9 if name in learned else 6,
                lw=2 if name in learned else 1.6,
                elinewidth=1,
                capsize=3,
                label=name,
                zorder=3 if name in learned else 2,
            )
        axes.set_xlabel("model evaluations per image")
        axes.set_ylabel(f"{found.scorer}, {found.scale.unit}")
        legend_above(axes, _COLUMNS)
        return as_svg(figure, "schedule-curves")


def chosen(
    easy: Sequence[Sequence[float]],
    hard: Sequence[Sequence[float]],
    shared: Sequence[Sequence[float]],
    counts: NDArray[np.int64],
) -> str:
    """Levels by step of images of easy and hard prompts, and the histogram of numbers of steps (n,) of all images."""
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = new_pair(9.6, 3.9)
        for images, colour, name in ((easy, METHODS[2], "easy prompts"), (hard, METHODS[4], "hard prompts")):
            _band(left, images, colour, name)
        for levels in shared:
            left.plot(range(len(levels)), levels, color=TEXT, lw=1.2, linestyle=(0, (4, 4)), label="shared")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_xlabel("step")
        left.set_ylabel("noise level")
        left.legend()
        numbers, images_of = np.unique(counts, return_counts=True)
        right.bar(numbers, 100 * images_of / len(counts), color=ACCENT, width=0.8)
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.grid(visible=False, axis="x")
        right.set_xlabel("steps of an image")
        right.set_ylabel("% of images")
        return as_svg(figure, "chosen-levels")


def _band(axes: Axes, images: Sequence[Sequence[float]], colour: str, name: str) -> None:
    """The mean level at each step, and the range of 95 % of the images; a chain that has ended stays at 0."""
    longest = max(map(len, images))
    table = np.stack([np.pad(np.asarray(levels), (0, longest - len(levels))) for levels in images])
    low, high = np.quantile(table, [0.025, 0.975], axis=0)
    axes.fill_between(range(longest), low, high, color=colour, alpha=0.18, lw=0)
    axes.plot(range(longest), table.mean(axis=0), color=colour, lw=2, marker="o", ms=3, label=name)


def training(progress: pd.DataFrame, scorer: str) -> str:
    """Mean score and mean number of steps of the sampled chains over updates, with their running means of ten."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_pair(9.6, 3.2)
        for place, (column, label) in enumerate((("score", scorer), ("num_steps", "steps"))):
            axes[place].plot(progress["update"], progress[column], color=SOFT, lw=1, label="each update")
            running = progress[column].rolling(10, min_periods=1).mean()
            axes[place].plot(progress["update"], running, color=ACCENT, lw=2, label="mean of ten")
            axes[place].set_xlabel("update")
            axes[place].set_ylabel(f"{label}, mean of chains")
            axes[place].legend()
        return as_svg(figure, "schedule-training")
