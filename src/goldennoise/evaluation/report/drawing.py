"""How every figure of the page is drawn: inline SVG in the page's CSS variables, so that it follows its light or dark
scheme."""

import io
import math
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goldennoise.evaluation.report.numbers import Scale
from goldennoise.evaluation.statistics import Comparison

PALETTE = 8
"""Number of method colours the page defines: --method-0 ... --method-7."""

_LEGEND_COLUMNS = 5
_LEGEND_CHARACTERS, _MARKER_CHARACTERS = 110, 6
"""Width of a line of the legend, and of a marker with its space, in characters."""

# Matplotlib knows no CSS variables: each stands in for one and is replaced in the SVG.
TEXT, LINE, SOFT, ACCENT, RAISED = "#010203", "#010204", "#010205", "#010206", "#010207"
METHODS = [f"#0102{10 + number:02x}" for number in range(PALETTE)]
_PAGE = {
    TEXT: "var(--text)",
    LINE: "var(--line)",
    SOFT: "var(--soft)",
    ACCENT: "var(--accent)",
    RAISED: "var(--raised)",
}
_VARIABLES = _PAGE | {colour: f"var(--method-{number})" for number, colour in enumerate(METHODS)}

STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "legend.frameon": False,
}


def new_figure(width: float, height: float, num_named: int, columns: int = _LEGEND_COLUMNS) -> tuple[Figure, Axes]:
    """A figure without pyplot, which would keep it in a global list; higher by the further rows of its legend."""
    further_rows = (num_named - 1) // columns
    figure = Figure(figsize=(width, height + 0.25 * further_rows), layout="constrained")
    return figure, figure.subplots()


def new_pair(width: float, height: float) -> tuple[Figure, tuple[Axes, Axes]]:
    """A figure of two, side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    return figure, (left, right)


def legend_above(axes: Axes, columns: int = _LEGEND_COLUMNS) -> None:
    """columns: at most; fewer where the names are long."""
    longest = max(map(len, axes.get_legend_handles_labels()[1]), default=0)
    fitting = max(1, min(columns, _LEGEND_CHARACTERS // (longest + _MARKER_CHARACTERS)))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=fitting, handlelength=1.2, borderaxespad=0.2)


def errors_of(found: Sequence[Comparison], scale: Scale) -> np.ndarray:
    """Distances (2, n) from the means down and up to the ends of their intervals; NaN where there is no interval."""
    ends = [
        (math.nan, math.nan)
        if one.mean_low is None or one.mean_high is None
        else (one.mean - one.mean_low, one.mean_high - one.mean)
        for one in found
    ]
    return scale.factor * np.maximum(np.array(ends).T, 0)


def as_svg(figure: Figure, name: str) -> str:
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
