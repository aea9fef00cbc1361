"""Everything that is wrong with a prompt file, told in one sentence."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from goldennoise.errors import DataError


@dataclass(frozen=True)
class Defect:
    """What is wrong with a line (counted from 1), and how to mend it. Defects of one kind have the same `mend`."""

    line: int
    what: str
    mend: str


def refuse(path: Path, defects: Iterable[Defect]) -> None:
    """Raise `DataError` unless there are no defects: the first in full, the first of every other kind, and how many."""
    ordered = sorted(defects, key=lambda defect: defect.line)
    if not ordered:
        return
    first = ordered[0]
    message = f"{path}, line {first.line}: {first.what}; {first.mend}"
    num_others = len(ordered) - 1
    if num_others:
        message += f" ({num_others} more damaged {'line' if num_others == 1 else 'lines'}"
        by_kind: dict[str, Defect] = {}
        for defect in ordered:
            by_kind.setdefault(defect.mend, defect)
        others = [f"line {defect.line}: {defect.what}" for defect in by_kind.values() if defect is not first]
        message += (", among them " + "; ".join(others) if others else "") + ")"
    raise DataError(message)
