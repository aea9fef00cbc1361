"""How the scores of one scorer are written: one unit, one number of decimals, real minus signs."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from goldennoise.evaluation.statistics import Comparison
from goldennoise.evaluation.summary import ScorerInfo, Summary
from goldennoise.scorers.protocol import SHARE


@dataclass(frozen=True)
class Scale:
    """factor: what a score is multiplied by before it is written. unit: of a mean; points: of a difference."""

    factor: float
    decimals: int
    unit: str
    points: str

    def mean(self, value: float) -> str:
        return _minus(f"{self._rounded(value):.{self.decimals}f}")

    def difference(self, value: float) -> str:
        rounded = self._rounded(value)
        return _minus(f"{rounded:+.{self.decimals}f}") if rounded else f"{0:.{self.decimals}f}"

    def mean_interval(self, found: Comparison) -> str:
        return self._interval(found.mean_low, found.mean_high, self.mean)

    def difference_interval(self, found: Comparison) -> str:
        return self._interval(found.low, found.high, self.difference)

    def _rounded(self, value: float) -> float:
        # Adding zero turns a negative zero into a plain one.
        return round(value * self.factor, self.decimals) + 0.0

    def _interval(self, low: float | None, high: float | None, write: Callable[[float], str]) -> str:
        if low is None or high is None:
            return "[no interval]"
        return f"[{write(low)}, {write(high)}]"


def scale_of(summary: Summary, scorer: str) -> Scale:
    """Per cent for shares; else as many decimals as show two digits of the widest interval's half width."""
    info: ScorerInfo = summary.scorers[scorer]
    if info.unit.endswith(SHARE):
        return Scale(100.0, 1, "% right" if info.unit == SHARE else f"% {info.unit}", "points")
    widths = _half_widths(method.scorers[scorer].overall for method in summary.methods.values())
    widest = max(widths, default=0.0)
    decimals = min(max(1 - math.floor(math.log10(widest)), 0), 6) if widest > 0 else 3
    return Scale(1.0, decimals, info.unit, info.unit)


def grid_size(num_prompts: int, num_seeds: int) -> str:
    """ "1,024 prompts × 1 seed"."""
    nouns = "prompt" if num_prompts == 1 else "prompts", "seed" if num_seeds == 1 else "seeds"
    return f"{num_prompts:,} {nouns[0]} × {num_seeds} {nouns[1]}"


def memory(num_bytes: int | None) -> str:
    """Mebibytes, or gibibytes from 10 of them on."""
    if num_bytes is None:
        return "–"
    return f"{num_bytes / 2**20:,.0f} MiB" if num_bytes < 10 * 2**30 else f"{num_bytes / 2**30:.1f} GiB"


def seconds(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def signed(value: float, decimals: int) -> str:
    """With its sign, zero without."""
    return Scale(1.0, decimals, "", "").difference(value)


def spread_text(mean: float, low: float, high: float) -> tuple[str, str]:
    """A mean and a range, with as many decimals as show two digits of the range, at least two decimals."""
    width = high - low
    decimals = min(max(2 - math.floor(math.log10(width)) - 1, 2), 4) if width > 0 else 2
    scale = Scale(1.0, decimals, "", "")
    return scale.mean(mean), f"[{scale.mean(low)}, {scale.mean(high)}]"


def _half_widths(found: Iterable[Comparison]) -> list[float]:
    return [
        (result.mean_high - result.mean_low) / 2
        for result in found
        if result.mean_low is not None and result.mean_high is not None
    ]


def _minus(text: str) -> str:
    return text.replace("-", "−")
