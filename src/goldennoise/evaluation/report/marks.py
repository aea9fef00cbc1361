"""Which differences of a table are marked: those whose corrected p-value is below 5 %."""

from collections.abc import Iterable

from goldennoise.evaluation.significance import LEVEL, holm
from goldennoise.evaluation.statistics import Comparison

_BY_INTERVAL = "Bold or *: the 95 % interval of the difference excludes zero; no correction for several comparisons."


class Correction:
    """Holm's correction for the comparisons of one table. One without a p-value is marked by its interval."""

    def __init__(self, found: Iterable[Comparison]) -> None:
        """found: the comparisons of the table, without that of the reference with itself."""
        compared = [*found]
        self.is_empty = not compared
        p_values = [one.p_value for one in compared if one.p_value is not None]
        # Equal p-values have equal adjusted ones.
        self._adjusted = dict(zip(p_values, holm(p_values), strict=True))
        self.num = len(p_values)

    def p_value(self, found: Comparison) -> float | None:
        """The adjusted p-value of one of them; None where it has none."""
        return None if found.p_value is None else self._adjusted[found.p_value]

    def shows(self, found: Comparison) -> bool:
        """Whether it shows a difference: its adjusted p-value is below 5 %."""
        adjusted = self.p_value(found)
        return shows_difference(found) if adjusted is None else adjusted < LEVEL

    @property
    def note(self) -> str:
        """A footnote: what a mark means."""
        if self.is_empty:
            return "Nothing is compared: there is one method."
        if not self.num:
            return _BY_INTERVAL
        return (
            f"Bold or *: p < 0.05 by a sign-flip permutation test over prompts (all seeds of a prompt flip together), "
            f"with Holm's correction for the {self.num} comparisons of this table."
        )


def shows_difference(found: Comparison) -> bool:
    """Whether the interval of the difference excludes zero: for a comparison that was named before it was measured."""
    return found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)


def p_text(p_value: float | None) -> str:
    """Two significant digits, three decimals at most; a dash for none."""
    if p_value is None:
        return "–"
    if p_value < 0.001:
        return "< 0.001"
    return f"{p_value:.3f}" if p_value < 0.1 else f"{p_value:.2f}"
