"""The nodes of a Ray cluster: workers take units when they are free, while nodes come and go.

This process, the head, deals units out and makes none. Every worker is a Ray actor that loads what the work needs once.
Files go through the draft's folder, which all nodes share. Needs the extra `goldennoise[ray]`.
"""

import logging
import os
import secrets
import signal
import socket
import threading
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from goldennoise.errors import ConfigError, GoldenNoiseError, one_line, shortened
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.runtime.executors.ray_worker import Answer, Errand, Worker
from goldennoise.runtime.progress import Counter, Progress
from goldennoise.runtime.units import AnyUnit, MakeWorker
from goldennoise.store.files import UNFINISHED

log = logging.getLogger(__name__)

MOST_LOSSES = 3
"""Workers that may end on the same units, or before their first, until the run ends too; lost nodes do not count."""
OF_THE_NODE = ("its node has died", "The actor never ran")
"""Of Ray's words for a lost worker, those that say that its node was lost. That is no fault of the units."""
WAIT_S = 10.0
"""For the address of a cluster to answer."""
AHEAD = 8
"""Workers that wait for a place beside those that work: new nodes get them at once, and autoscalers see a demand."""


class Nodes:
    """Who makes units: workers on the nodes of the cluster that `compute` names."""

    def __init__(self, compute: ComputeConfig) -> None:
        self.compute = compute

    def decide(self, work: Callable[[], Any]) -> Any:
        return work()

    def run(self, units: Sequence[AnyUnit], folder: Path, make_worker: MakeWorker[AnyUnit], counter: Counter) -> None:
        """Raises `ConfigError` for a cluster that cannot be reached or has too little, or whose nodes have other
        packages; `ArtifactError` for a node that does not share `folder`; and what a worker raises."""
        if not units:
            return
        with _cluster(self.compute) as ray, _canary(folder) as canary:
            options = _needed(ray, self.compute)
            errand = ray.put(Errand(make_worker, folder.absolute(), Path.cwd(), canary))
            hire = ray.remote(**options, max_restarts=0)(Worker).remote
            with counter.progress(sum(unit.size for unit in units)) as progress:
                _Office(ray, lambda: hire(errand), _groups(units), progress).work()


class _Office:
    """Deals groups of units to workers until all are made."""

    def __init__(self, ray: Any, hire: Callable[[], Any], groups: Sequence[Sequence[Any]], progress: Progress) -> None:
        self._ray, self._hire, self._progress = ray, hire, progress
        self._waiting = deque(groups)
        self._idle: list[Any] = []
        self._hiring: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, Sequence[Any]]] = {}
        self._lost: Tally[int] = Tally()

    def work(self) -> None:
        while self._waiting or self._busy:
            while self._waiting and self._idle:
                self._deal(self._idle.pop())
            self._hire_more()
            (ready, *_), _ = self._ray.wait([*self._busy, *self._hiring], num_returns=1)
            worker, group = self._busy.pop(ready, (None, None))
            if group is None:
                worker = self._hiring.pop(ready)
            answer = self._answer(ready, group)
            if answer is None:
                continue
            if answer.error is not None:
                raise answer.error
            if group is not None:
                self._progress.update(sum(unit.size for unit in group))
            self._idle.append(worker)

    def _hire_more(self) -> None:
        """As many as have something to do, `AHEAD` of them before they have a place."""
        missing = len(self._waiting) - len(self._hiring)
        for _ in range(min(missing, AHEAD - len(self._hiring))):
            worker = self._hire()
            self._hiring[worker.prepare.remote()] = worker

    def _deal(self, worker: Any) -> None:
        group = self._waiting.popleft()
        self._busy[worker.make.remote(group)] = (worker, group)
        self._progress.note(f"{len(self._busy)} workers")

    def _answer(self, ready: Any, group: Sequence[Any] | None) -> Answer | None:
        """What a worker says; None for one that is lost, whose units wait again."""
        try:
            answer: Answer = self._ray.get(ready)
        except self._ray.exceptions.RayActorError as error:
            number = -1 if group is None else group[0].number
            told = one_line(str(error))
            self._lost[number] += not any(words in told for words in OF_THE_NODE)
            if group is not None:
                self._waiting.appendleft(group)
            where = "before the first unit" if group is None else f"in unit {number}"
            log.warning("a worker was lost %s, which is dealt again: %s", where, shortened(told))
            if self._lost[number] >= MOST_LOSSES:
                raise GoldenNoiseError(
                    f"{MOST_LOSSES} workers were lost {where}; finished work is kept; Ray says of the last one: {told}"
                ) from None
            return None
        if group is None:
            self._lost[-1] = 0
        return answer


def _groups(units: Sequence[AnyUnit]) -> list[list[AnyUnit]]:
    """Units of one number, in their order."""
    ordered = sorted(units, key=lambda unit: unit.number)
    return [[*group] for _, group in groupby(ordered, key=lambda unit: unit.number)]


@contextmanager
def _cluster(compute: ComputeConfig) -> Iterator[Any]:
    """The module ray, connected. Raises `ConfigError` where Ray or its cluster is not there."""
    try:
        import ray
    except ModuleNotFoundError:
        raise ConfigError(
            f"compute.ray={compute.ray}: Ray is not installed; install the extra goldennoise[ray]"
        ) from None
    # Ray would send the folder of the environment that `uv run` made, and hide GPUs from a head that asks for none.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    _require_listener(compute.ray)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=compute.ray, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=_dashboard(compute)
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(compute.ray, one_line(str(error))) from None
    # Ray's own would abort this process.
    if on_sigterm is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_listener(chosen: str | None) -> None:
    """Raises `ConfigError` where nobody listens, for whom Ray would wait minutes."""
    address = os.environ.get("RAY_ADDRESS", "auto") if chosen == "auto" else str(chosen)
    host, _, port = address.partition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=WAIT_S).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(chosen, f"there is no cluster ({error})") from None


def _no_cluster(chosen: str | None, why: str) -> ConfigError:
    found = f", RAY_ADDRESS={os.environ['RAY_ADDRESS']}" if chosen == "auto" and "RAY_ADDRESS" in os.environ else ""
    return ConfigError(
        f"compute.ray={chosen}{found}: {why}; start one with ray start --head, name it as HOST:6379, or set "
        "compute.ray=local for one on this machine"
    )


def _dashboard(compute: ComputeConfig) -> bool | None:
    return False if compute.ray == "local" else None


def _needed(ray: Any, compute: ComputeConfig) -> dict[str, float]:
    """What every worker takes of its node. Raises `ConfigError` where no node has so much."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU")}
    gpus = compute.ray_gpus if compute.ray_gpus is not None else float(most["GPU"] > 0 and compute.device != "cpu")
    for option, wanted, name in (("ray_cpus", compute.ray_cpus, "CPU"), ("ray_gpus", gpus, "GPU")):
        if wanted > most[name]:
            raise ConfigError(
                f"compute.{option}={wanted:g}: no node of the cluster has so many; the largest has {most[name]:g} "
                f"{name}s: set a smaller compute.{option}, or add a node that has them"
            )
    return {"num_cpus": compute.ray_cpus, "num_gpus": gpus}


@contextmanager
def _canary(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and content of a file in `folder`, by which a node shows that it shares it. A commit removes leftovers."""
    name, content = f"canary-{secrets.token_hex(4)}{UNFINISHED}", secrets.token_hex(16)
    (folder / name).write_text(content, encoding="utf-8")
    try:
        yield name, content
    finally:
        (folder / name).unlink(missing_ok=True)
