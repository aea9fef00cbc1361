"""torchrun --max-restarts starts a training again by itself when one of its processes dies."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from integration.command_line import ROOT, run_ok
from safetensors.torch import load_file

from goldennoise.store.artifacts import ArtifactStore
from goldennoise.store.record import Artifact

TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "2", "-m", "goldennoise")
TRAIN = ("experiment=smoke", "stage=train", "stage.num_epochs=12", "stage.sample_every_epochs=0")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("pairs")
    own = ("stage.preference=null", "scorer=[]", "method=[scaled]", "method.scaled.factor=0.9", "stage.num_prompts=64")
    run_ok(outputs, "experiment=smoke", "stage=collect", *own, "compute.device=cpu")
    return outputs / "pairs"


def started(outputs: Path, pairs: Path) -> subprocess.Popen[str]:
    shutil.copytree(pairs, outputs / "pairs")
    return subprocess.Popen(
        [sys.executable, *TORCHRUN, *TRAIN, "compute=ddp", "compute.device=cpu", f"outputs={outputs}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_epochs(job: subprocess.Popen[str], outputs: Path) -> None:
    """Until two epochs are written."""
    history = outputs / "npnet/smoke/v1.partial/training.csv"
    while job.poll() is None and not (history.is_file() and len(history.read_text().splitlines()) > 2):
        time.sleep(0.02)
    assert job.poll() is None, "the training is too short to be killed"


def process_of_rank(torchrun: int, rank: int) -> int:
    for process in Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split():
        if f"RANK={rank}" in Path(f"/proc/{process}/environ").read_text().split("\0"):
            return int(process)
    raise AssertionError(f"torchrun has no process of rank {rank}")


def trained(job: subprocess.Popen[str], outputs: Path) -> Artifact:
    try:
        printed, _ = job.communicate(timeout=550)
    finally:
        # torchrun ends its processes when it is asked to end, not when it is killed.
        job.terminate()
        job.wait()
    assert job.returncode == 0, printed[-3000:]
    return ArtifactStore(outputs).resolve("smoke", "npnet")


@pytest.fixture(scope="module")
def undisturbed(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    outputs = tmp_path_factory.mktemp("undisturbed")
    return trained(started(outputs, pairs), outputs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_costs_an_epoch_and_not_the_job(
    pairs: Path, undisturbed: Artifact, tmp_path: Path, rank: int
) -> None:
    job = started(tmp_path, pairs)
    wait_for_epochs(job, tmp_path)
    os.kill(process_of_rank(job.pid, rank), signal.SIGKILL)
    restarted = trained(job, tmp_path)
    assert restarted.record["files"] == undisturbed.record["files"]
    assert restarted.record["counts"] == undisturbed.record["counts"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_job_of_two_processes_goes_on_in_one(pairs: Path, undisturbed: Artifact, tmp_path: Path) -> None:
    job = started(tmp_path, pairs)
    wait_for_epochs(job, tmp_path)
    workers = [process_of_rank(job.pid, rank) for rank in range(2)]
    for process in (job.pid, *workers):
        os.kill(process, signal.SIGKILL)
    job.wait()
    first_epoch = (tmp_path / "npnet/smoke/v1.partial/training.csv").read_text().splitlines()[:2]
    run_ok(tmp_path, *TRAIN, "compute.device=cpu")
    alone = ArtifactStore(tmp_path).resolve("smoke", "npnet")
    assert (alone.path / "training.csv").read_text().splitlines()[:2] == first_epoch, "it does not begin anew"
    one, two = (load_file(artifact.path / "model.safetensors") for artifact in (alone, undisturbed))
    for name, weight in two.items():
        torch.testing.assert_close(one[name], weight, rtol=0, atol=1e-4)
