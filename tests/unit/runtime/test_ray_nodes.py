"""Dealing units out to workers that come and go, with a Ray of this process; the real one is in tests/ray."""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from unit.runtime.units import File, touching

from goldennoise.errors import ConfigError, GoldenNoiseError
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.runtime.executors.ray import AHEAD, Nodes
from goldennoise.runtime.units import make_units


class LostError(Exception):
    """As ray.exceptions.RayActorError."""


class Ray:
    """Actors of this process, of which `places` fit; what is called first is done first.

    lose: from how many calls there were so far to whether the worker of this call is lost, before it does anything
    ("before") or after ("after").
    """

    exceptions = SimpleNamespace(RayActorError=LostError)

    def __init__(self, places: int = 2, lose: Callable[[int], str] = lambda _: "", **resources: float) -> None:
        self.places, self.lose, self.resources = places, lose, {"CPU": 2, **resources}
        self.calls: deque[tuple[int, Any, Callable[[], Any]]] = deque()
        self.placed: list[Any] = []
        self.num_calls = self.num_hired = self.most_hiring = 0
        self.options: dict[str, Any] = {}
        self.is_lost, self.why = False, ""

    def init(self, **_: Any) -> None:
        if self.is_lost:
            raise ConnectionError("Failed to connect\nto nowhere")

    def shutdown(self) -> None: ...

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": self.resources}, {"Alive": False, "Resources": {"GPU": 8}}]

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Any:
        self.options = options
        return lambda made: SimpleNamespace(remote=lambda errand: self._hired(made(errand)))

    def _hired(self, worker: Any) -> Any:
        self.num_hired += 1
        return SimpleNamespace(
            prepare=SimpleNamespace(remote=lambda: self._called(worker, worker.prepare)),
            make=SimpleNamespace(remote=lambda units: self._called(worker, lambda: worker.make(units))),
        )

    def _called(self, worker: Any, act: Callable[[], Any]) -> int:
        self.num_calls += 1
        self.calls.append((self.num_calls, worker, act))
        return self.num_calls

    def wait(self, refs: Sequence[int], num_returns: int) -> tuple[list[int], list[int]]:
        assert num_returns == 1
        for number, worker, _ in self.calls:
            if worker not in self.placed and len(self.placed) < self.places:
                self.placed.append(worker)
            if number in refs and worker in self.placed:
                self.most_hiring = max(self.most_hiring, sum(one not in self.placed for _, one, _ in self.calls))
                return [number], [ref for ref in refs if ref != number]
        raise AssertionError("nothing can be done any more")

    def get(self, ref: int) -> Any:
        (call,) = [call for call in self.calls if call[0] == ref]
        self.calls.remove(call)
        _, worker, act = call
        lost = self.lose(ref)
        answer = None if lost == "before" else act()
        if lost:
            self.placed.remove(worker)
            raise LostError(f"The actor died\nin call {ref}{self.why}")
        return answer


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ray]:
    def install(**options: Any) -> Ray:
        ray = Ray(**options)
        monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
        return ray

    return install


def make(folder: Path, units: Sequence[File], made: list[str], **options: Any) -> None:
    nodes = Nodes(ComputeConfig(ray="auto", **options))
    make_units(units, folder, touching(folder, made), nodes, ("write", "lines"))


def test_all_units_are_made_once_and_a_number_by_one_worker(
    tmp_path: Path, cluster: Callable[..., Ray], capsys: pytest.CaptureFixture[str]
) -> None:
    units, made = [File(number, name) for name in "ab" for number in range(5)], list[str]()
    File(3, "a").path(tmp_path).touch()
    cluster()
    make(tmp_path, units, made)
    assert made == ["0a", "0b", "1a", "1b", "2a", "2b", "3b", "4a", "4b"]
    assert "write: 100%, 30/30" in capsys.readouterr().err
    assert not list(tmp_path.glob("canary*"))


def test_workers_are_hired_for_the_work_there_is(tmp_path: Path, cluster: Callable[..., Ray]) -> None:
    few = cluster(places=3)
    make(tmp_path, [File(number) for number in range(2)], [])
    assert few.num_hired == 2
    many = cluster(places=3)
    make(tmp_path, [File(number, "b") for number in range(50)], [])
    assert AHEAD <= many.num_hired <= 3 + AHEAD
    assert many.most_hiring <= AHEAD


@pytest.mark.parametrize("when", ["before", "after"])
def test_units_of_a_lost_worker_are_dealt_again_and_finished_ones_stay(
    tmp_path: Path, cluster: Callable[..., Ray], when: str, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[str] = []
    cluster(places=2, lose=lambda call: when if call in (10, 13, 14) else "")
    make(tmp_path, [File(number, name) for number in range(8) for name in "ab"], made)
    assert sorted(made) == sorted({*made}), "a finished unit is not made again"
    assert len(made) == 16
    assert caplog.text.count("which is dealt again: The actor died in call") == 3


def test_units_that_end_every_worker_end_the_run(tmp_path: Path, cluster: Callable[..., Ray]) -> None:
    cluster(places=1, lose=lambda call: "before" if call > 4 else "")
    with pytest.raises(
        GoldenNoiseError,
        match=r"^3 workers were lost in unit \d; finished work is kept; Ray says of the last one: The",
    ):
        make(tmp_path, [File(number) for number in range(4)], [])


def test_lost_nodes_are_no_fault_of_the_units(tmp_path: Path, cluster: Callable[..., Ray]) -> None:
    made: list[str] = []
    cluster(lose=lambda call: "before" if call < 30 else "").why = " because its node has died. Node Id: 1"
    make(tmp_path, [File(number) for number in range(4)], made)
    assert sorted(made) == ["0a", "1a", "2a", "3a"]


def test_workers_that_never_come_to_work_end_the_run(tmp_path: Path, cluster: Callable[..., Ray]) -> None:
    cluster(lose=lambda _: "before")
    with pytest.raises(GoldenNoiseError, match=r"^3 workers were lost before the first unit; finished work"):
        make(tmp_path, [File(0)], [])


def test_a_mistake_of_a_worker_is_that_of_the_run(tmp_path: Path, cluster: Callable[..., Ray]) -> None:
    cluster()

    def broken() -> Any:
        raise ConfigError("scorer=x: no")

    with pytest.raises(ConfigError, match=r"^scorer=x: no$"):
        make_units([File(0)], tmp_path, broken, Nodes(ComputeConfig(ray="auto")), ("write", "lines"))


@pytest.mark.parametrize(
    ("resources", "options", "expected"),
    [
        ({}, {}, 0),
        ({"GPU": 4}, {}, 1),
        ({"GPU": 4}, {"device": "cpu"}, 0),
        ({"GPU": 4}, {"ray_gpus": 0.5}, 0.5),
        ({"GPU": 4}, {"ray_gpus": 5}, r"^compute\.ray_gpus=5: no node of the cluster has so many; the largest has 4 G"),
        ({}, {"ray_gpus": 1}, r"^compute\.ray_gpus=1: .* the largest has 0 GPUs: set a smaller compute\.ray_gpus, or"),
        ({}, {"ray_cpus": 3}, r"^compute\.ray_cpus=3: .* the largest has 2 CPUs: set a smaller compute\.ray_cpus, or"),
    ],
)
def test_what_a_worker_takes_of_its_node(
    tmp_path: Path, cluster: Callable[..., Ray], resources: dict[str, float], options: dict[str, Any], expected: Any
) -> None:
    ray = cluster(**resources)
    if isinstance(expected, str):
        with pytest.raises(ConfigError, match=expected):
            make(tmp_path, [File(0)], [], **options)
        return
    make(tmp_path, [File(0)], [], **options)
    assert ray.options == {"num_cpus": options.get("ray_cpus", 1), "num_gpus": expected, "max_restarts": 0}


def test_no_cluster_and_no_ray_are_one_sentence(
    tmp_path: Path, cluster: Callable[..., Ray], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster().is_lost = True
    with pytest.raises(ConfigError, match=r"^compute\.ray=auto: Failed to connect to nowhere; start one with ray"):
        make(tmp_path, [File(0)], [])
    nowhere = Nodes(ComputeConfig(ray="127.0.0.1:1"))
    with pytest.raises(ConfigError, match=r"^compute\.ray=127.0.0.1:1: there is no cluster \(.*\); start one with ray"):
        make_units([File(0)], tmp_path, touching(tmp_path, []), nowhere, ("write", "lines"))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"^compute\.ray=auto, RAY_ADDRESS=127.0.0.1:1: there is no cluster \("):
        make(tmp_path, [File(0)], [])
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ConfigError, match=r"^compute\.ray=auto: Ray is not installed; install the extra goldennoise\[r"
    ):
        make(tmp_path, [File(0)], [])


@pytest.mark.parametrize("ray", ["nowhere", "a:b", "ray://a:1", "", "a b:1", "a:65536"])
def test_what_is_no_address(ray: str) -> None:
    with pytest.raises(ConfigError, match=r"^ray=.*: ray must be null or auto, local or HOST:PORT$"):
        ComputeConfig(ray=ray)
    with pytest.raises(ConfigError, match=r"^devices=2: devices must be 1 with Ray, which starts processes$"):
        ComputeConfig(ray="auto", devices=2)
