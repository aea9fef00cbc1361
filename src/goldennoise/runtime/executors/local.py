"""This process alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from goldennoise.runtime.progress import Counter
from goldennoise.runtime.units import AnyUnit, MakeWorker


class Local:
    """Makes all units, one after the other. show: whether their progress is written."""

    def __init__(self, show: bool = True) -> None:
        self.show = show

    def decide(self, work: Callable[[], Any]) -> Any:
        return work()

    def run(
        self,
        units: Sequence[AnyUnit],
        folder: Path,  # noqa: ARG002
        make_worker: MakeWorker[AnyUnit],
        counter: Counter,
    ) -> None:
        if not units:
            return
        work = make_worker()
        with counter.progress(sum(unit.size for unit in units), self.show) as progress:
            for unit in units:
                work(unit, progress)
