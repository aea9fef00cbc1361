"""Work in units: an artifact is made of pieces that are finished or not, whoever makes them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from goldennoise.runtime.progress import Counter, Progress


class Unit(Protocol):
    """A piece of an artifact, written whole or not at all: a killed run goes on after the last finished one."""

    @property
    def number(self) -> int:
        """Units of one number are made by one process, in their order."""

    @property
    def size(self) -> int:
        """Pairs or images in it."""

    def is_finished(self, folder: Path) -> bool:
        """Whether the draft in `folder` holds it, whole and as this run would make it."""


AnyUnit = TypeVar("AnyUnit", bound=Unit)
Work = Callable[[AnyUnit, Progress], None]
"""Makes a unit, and counts what it has of it in a progress."""
MakeWorker = Callable[[], Work[AnyUnit]]
"""Loads what the work needs, where it is called. One that can be pickled can be sent to another process or machine."""


class Executor(Protocol):
    """Who makes units, and where."""

    def decide(self, work: Callable[[], Any]) -> Any:
        """What `work` gives, a JSON value, everywhere the same: only one process calls it."""

    def run(self, units: Sequence[AnyUnit], folder: Path, make_worker: MakeWorker[AnyUnit], counter: Counter) -> None:
        """Make all units of the draft in `folder`; return when the last one is finished.

        A worker is made only where there is a unit for it.
        """


def make_units(
    units: Sequence[AnyUnit], folder: Path, make_worker: MakeWorker[AnyUnit], executor: Executor, noun: tuple[str, str]
) -> None:
    """Make those of `units` that are not finished in the draft in `folder`.

    noun: what is done and what is counted, such as ("collect", "pairs").
    """
    # One process says which are missing: by the time that another one looks, the first may be there.
    missing = executor.decide(lambda: [i for i, unit in enumerate(units) if not unit.is_finished(folder)])
    left = [units[i] for i in missing]
    num_done = sum(unit.size for unit in units) - sum(unit.size for unit in left)
    executor.run(left, folder, make_worker, Counter(*noun, num_done))
