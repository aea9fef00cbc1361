"""Processes that make one artifact together: who they are, and what becomes of a mistake of one of them."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goldennoise.errors import ConfigError, DataError, GoldenNoiseError
from goldennoise.runtime import processes
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.runtime.processes import Processes, joined

NUM = 2


def share(work: str, made: Path) -> None:
    """What each process of the script does: its share, which process 1 takes longer for and puts into `made`.

    Process 1 meets a mistake in it if `work` is "broken", a full disk if it is "full". If it is "killed", process 0 is,
    the first time that they are started.
    """

    def own() -> None:
        if work == "broken" and os.environ["RANK"] == "1":
            raise DataError("a picture is missing")
        if work == "full" and os.environ["RANK"] == "1":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if os.environ["RANK"] == "1":
            time.sleep(1)
            made.touch()

    again = os.environ["TORCHELASTIC_RESTART_COUNT"] != "0"
    if work == "killed" and again and os.environ["RANK"] == "0":
        time.sleep(3)  # the other one looks for its address meanwhile
    try:
        with joined(ComputeConfig(device="cpu", devices=NUM)) as group:
            if work == "killed" and not again:
                if group.is_first:
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)
            told = group.from_first(lambda: {"rank": group.rank})
            group.on_all(own)
            said = f"done {group.rank} {told} {made.exists()}"
    except GoldenNoiseError as error:
        said = f"raised {os.environ['RANK']}: {error}"
    # In one write: the lines of two processes must not run into each other.
    sys.stdout.write(said + "\n")


def torchrun(work: str, made: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Two processes that run this file."""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    command = [sys.executable, "-m", "torch.distributed.run", *options, "--nproc-per-node", str(NUM)]
    return subprocess.run(
        [*command, __file__, work, str(made)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ("whole", {"done 0 {'rank': 0} True", "done 1 {'rank': 0} True"}),
        ("broken", {"raised 0: a picture is missing"}),
        (
            "full",
            {"raised 0: no space left on the disk: free some and run the same command again, finished work is kept"},
        ),
    ],
)
def test_all_wait_for_the_last_and_a_mistake_is_raised_by_the_first(
    tmp_path: Path, work: str, expected: set[str]
) -> None:
    done = torchrun(work, tmp_path / "made", "--standalone")
    assert {line for line in done.stdout.splitlines() if line} == expected, done.stderr
    assert ("error in process 1: a picture is missing" in done.stderr) == (work == "broken")
    assert (done.returncode == 0) == (work == "whole")


def test_processes_that_torchrun_starts_again_find_each_other(tmp_path: Path) -> None:
    done = torchrun("killed", tmp_path / "made", "--max-restarts", "1")
    assert done.returncode == 0, done.stderr
    said = {line for line in done.stdout.splitlines() if line}
    assert said == {"done 0 {'rank': 0} True", "done 1 {'rank': 0} True"}


def test_one_process_raises_its_own_mistakes() -> None:
    def broken() -> None:
        raise DataError("a picture is missing")

    with pytest.raises(DataError, match="a picture is missing"):
        Processes().on_all(broken)


def test_a_batch_script_of_slurm_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    with joined(ComputeConfig(device="cpu")) as group:
        assert group == Processes()


def test_a_step_of_srun_is_as_many_as_it_has_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}
    monkeypatch.setattr(os, "environ", os.environ | step | {"SLURM_NNODES": "2", "SLURM_JOB_ID": "1"})
    with pytest.raises(ConfigError, match="--ntasks-per-node=N"):
        processes._started()
    os.environ["SLURM_NTASKS_PER_NODE"] = "2"
    assert processes._started() == Processes(rank=3, size=4, num_nodes=2, launcher="srun")
    with pytest.raises(ConfigError, match=r"compute\.devices=1, but 4 processes were started"), joined(ComputeConfig()):
        pass


if __name__ == "__main__":
    share(sys.argv[1], Path(sys.argv[2]))
