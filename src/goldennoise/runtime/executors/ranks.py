"""All processes that torchrun or srun started: each makes its share of the units."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from goldennoise.runtime.executors.local import Local
from goldennoise.runtime.processes import Processes
from goldennoise.runtime.progress import Counter
from goldennoise.runtime.units import AnyUnit, MakeWorker


class Ranks:
    """Numbers of units take turns among the processes; rank 0 shows the progress of its own share."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def decide(self, work: Callable[[], Any]) -> Any:
        return self.processes.from_first(work)

    def run(self, units: Sequence[AnyUnit], folder: Path, make_worker: MakeWorker[AnyUnit], counter: Counter) -> None:
        mine = {*sorted({unit.number for unit in units})[self.processes.rank :: self.processes.size]}
        share, alone = [unit for unit in units if unit.number in mine], Local(show=self.processes.is_first)
        self.processes.on_all(lambda: alone.run(share, folder, make_worker, counter))
