"""Pairs made by a Ray cluster of several nodes on this machine, which lose and gain nodes. Run by `make test-ray`."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from integration.command_line import ROOT, command, run_ok
from safetensors.torch import load_file

pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
pytestmark = pytest.mark.ray

NUM_PAIRS = 2000
NUM_SHARDS = 50
COLLECT = (
    *("stage=collect", "name=many", "method=[re_denoise]", "stage.preference=null", "model.num_steps=2"),
    *("stage.num_prompts=500", "stage.num_seeds=4", "stage.prompts_per_shard=10"),
    *("compute.device=cpu", "compute.num_threads=1", "compute.batch_size=40"),
)


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    """Programs may reach the cluster: its address is this machine's own, and no loopback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs of one process."""
    outputs = tmp_path_factory.mktemp("alone")
    run_ok(outputs, *COLLECT)
    return outputs / "pairs/many/v1"


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that has no CPU to work with, and two nodes of one each."""
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    made.workers = nodes
    yield made
    made.shutdown()


def start(outputs: Path, *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(outputs, *overrides), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def by(cluster: Any) -> tuple[str, ...]:
    return (*COLLECT, "compute=ray", "compute.device=cpu", f"compute.ray={cluster.address}")


def seen(draft: Path, before: dict[str, int]) -> dict[str, int]:
    """When each finished shard was written. Fails for one that was finished before and is written again."""
    now = {}
    for path in draft.glob("index-*.parquet"):
        now[path.name] = path.stat().st_mtime_ns
    again = [name for name in before if now.get(name, before[name]) != before[name]]
    assert again == [], "made twice"
    return before | now


def watched(process: subprocess.Popen[str], draft: Path, until: int, known: dict[str, int]) -> dict[str, int]:
    """Look on until so many shards are finished, or the process has ended."""
    while process.poll() is None and len(known) < until:
        known = seen(draft, known)
        time.sleep(0.02)
    return known


def the_same(one: Path, other: Path) -> None:
    names = sorted(path.name for path in one.glob("*.safetensors"))
    assert names == sorted(path.name for path in other.glob("*.safetensors"))
    assert len(names) == NUM_SHARDS
    for name in names:
        left, right = load_file(one / name), load_file(other / name)
        assert left.keys() == right.keys()
        assert all(left[key].equal(right[key]) for key in left), name
    index, expected = (pd.read_parquet(folder / "index.parquet") for folder in (other, one))
    assert len(index) == NUM_PAIRS
    pd.testing.assert_frame_equal(index, expected)


@pytest.mark.parametrize("repetition", range(10))
def test_a_node_is_lost_and_one_comes(alone: Path, cluster: Any, tmp_path: Path, repetition: int) -> None:
    dice = random.Random(repetition)
    draft = tmp_path / "pairs/many/v1.partial"
    process = start(tmp_path, *by(cluster))
    known = watched(process, draft, dice.randint(4, 15), {})
    assert process.poll() is None, process.communicate()
    cluster.remove_node(cluster.workers[dice.randrange(2)], allow_graceful=False)
    known = watched(process, draft, len(known) + dice.randint(1, 8), known)
    cluster.add_node(num_cpus=1)
    known = watched(process, draft, NUM_SHARDS + 1, known)
    assert process.wait() == 0, process.communicate()
    final = tmp_path / "pairs/many/v1"
    assert {name: (final / name).stat().st_mtime_ns for name in known} == known
    the_same(alone, final)


def test_the_head_is_killed_and_the_same_command_goes_on(alone: Path, cluster: Any, tmp_path: Path) -> None:
    draft, known = tmp_path / "pairs/many/v1.partial", dict[str, int]()
    for _ in range(2):
        process = start(tmp_path, *by(cluster))
        known = watched(process, draft, len(known) + 8, known)
        process.send_signal(signal.SIGKILL)
        process.wait()
        known = seen(draft, known)
    run_ok(tmp_path, *by(cluster))
    final = tmp_path / "pairs/many/v1"
    assert {name: (final / name).stat().st_mtime_ns for name in known} == known
    the_same(alone, final)


def test_an_evaluation_of_a_cluster_is_that_of_one_process(cluster: Any, tmp_path: Path) -> None:
    options = (
        *("stage=eval", "name=few", "method=[standard,re_denoise]", "model.num_steps=2", "stage.num_prompts=6"),
        *("stage.num_seeds=2", "stage.prompts_per_part=2", "stage.num_bootstrap=100"),
        *("compute.device=cpu", "compute.num_threads=1"),
    )
    run_ok(tmp_path / "alone", *options)
    run_ok(tmp_path / "cluster", *options, "compute=ray", "compute.device=cpu", f"compute.ray={cluster.address}")
    one, other = (pd.read_parquet(tmp_path / name / "scores/few/v1/scores.parquet") for name in ("alone", "cluster"))
    pd.testing.assert_frame_equal(one, other)
    images = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.png"))
    assert len(images) == 24
    for name in images:
        pixels = [(tmp_path / run / name).read_bytes() for run in ("alone", "cluster")]
        assert pixels[0] == pixels[1], name


def failed(outputs: Path, *options: str) -> str:
    done = subprocess.run(
        command(outputs, *COLLECT, *options), capture_output=True, text=True, cwd=ROOT, check=False, timeout=300
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_sigterm_ends_the_head_and_its_workers(cluster: Any, tmp_path: Path) -> None:
    process = start(tmp_path, *by(cluster))
    watched(process, tmp_path / "pairs/many/v1.partial", 3, {})
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (143, False), err
    assert err.endswith("Stopped; the same command goes on from here.\n"), err


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    told = failed(tmp_path, "compute=ray", "compute.ray=127.0.0.1:1")
    assert "error: compute.ray=127.0.0.1:1: " in told
    told = failed(tmp_path, "compute=ray")
    assert "error: compute.ray=auto: " in told


def test_too_few_gpus_are_one_sentence(cluster: Any, tmp_path: Path) -> None:
    told = failed(tmp_path, "compute=ray", f"compute.ray={cluster.address}", "compute.ray_gpus=1")
    assert "error: compute.ray_gpus=1: no node of the cluster has so many; the largest has 0 GPUs" in told


def test_outputs_that_are_not_shared_are_one_sentence(cluster: Any, tmp_path: Path) -> None:
    """Of a head in a mount namespace of its own, whose outputs lie on a disk that nobody else sees."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs a mount namespace")
    (tmp_path / "own").mkdir()
    words = command(tmp_path / "own", *by(cluster))
    script = f"mount -t tmpfs none {tmp_path}/own && exec " + " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, cwd=ROOT, check=False, timeout=300
    )
    assert done.returncode == 2, done.stderr
    assert "choose a folder that all nodes share with outputs=DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_versions_are_one_sentence(cluster: Any, tmp_path: Path) -> None:
    """Of a head whose diffusers says that it is another."""
    code = (
        "import goldennoise.store.origin as origin; found = origin.package_versions; "
        "origin.package_versions = lambda: found() | {'diffusers': '0.0'}; "
        "import goldennoise.runtime.executors.ray_worker as worker; worker.package_versions = origin.package_versions; "
        "import sys; from goldennoise.__main__ import main; main()"
    )
    arguments = command(tmp_path, *by(cluster))[3:]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "and this machine 0.0: install the same versions on all nodes" in done.stderr
