"""Everything that is wrong with a prompt file, told in one sentence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldennoise.errors import DataError, shortened


@dataclass(frozen=True)
class Defect:
    """What is wrong with a line (counted from 1), and how to mend it. Defects of one kind have the same `mend`."""

    line: int
    what: str
    mend: str


@dataclass(frozen=True)
class Places:
    """What the rows of a source are called: by their number, or by `names`, one for each row."""

    unit: str = "line"
    names: Sequence[str] = ()

    def name(self, number: int) -> str:
        """Of the row with this number, counted from 1: "line 3", or "file 12.txt" if rows have names."""
        return f"{self.unit} {self._short(number)}"

    def listed(self, numbers: Sequence[int]) -> str:
        """The first five of them: "line 3, 7, 8, 11, 12, ..."."""
        return f"{self.unit} {', '.join(map(self._short, numbers[:5]))}{', ...' if numbers[5:] else ''}"

    def _short(self, number: int) -> str:
        return shown([self.names[number - 1]]) if self.names else str(number)


LINES = Places()


def refuse(path: Path, defects: Iterable[Defect], places: Places = LINES) -> None:
    """Raise `DataError` unless there are no defects: the first in full, the first of every other kind, and how many."""
    ordered = sorted(defects, key=lambda defect: defect.line)
    if not ordered:
        return
    first = ordered[0]
    message = f"{path}, {places.name(first.line)}: {first.what}; {first.mend}"
    num_others = len(ordered) - 1
    if num_others:
        message += f" ({num_others} more damaged {places.unit}{'' if num_others == 1 else 's'}"
        by_kind: dict[str, Defect] = {}
        for defect in ordered:
            by_kind.setdefault(defect.mend, defect)
        others = [f"{places.name(defect.line)}: {defect.what}" for defect in by_kind.values() if defect is not first]
        message += (", among them " + "; ".join(others) if others else "") + ")"
    raise DataError(message)


def shown(names: Sequence[str], most: int = 8) -> str:
    """Names from a file for a message: the first few, each cut to 40 characters."""
    return ", ".join(shortened(name, 40) for name in names[:most]) + (", ..." if names[most:] else "")
