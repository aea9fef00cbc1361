"""The processes that make one artifact together: started by torchrun or srun; rank 0 looks after the artifact.

Imports torch and Lightning only where there are several processes: a run whose artifact is complete needs neither.
"""

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from goldennoise.errors import ConfigError, GoldenNoiseError
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.runtime.resources import machine_errors

LONGEST_WAIT = timedelta(days=24)
"""How long processes wait: for rank 0, which encodes all prompts and decomposes all noises before training begins, and
for the slowest once their own share of pairs or images is made. A process that dies is the launcher's to notice. In
milliseconds it is about the largest number that torch takes."""


@dataclass(frozen=True)
class Processes:
    """This process among `size` on `num_nodes` machines. launcher: "none", "torchrun" or "srun"."""

    rank: int = 0
    size: int = 1
    num_nodes: int = 1
    launcher: str = "none"

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def from_first(self, work: Callable[[], Any]) -> Any:
        """What `work` returns on rank 0, a JSON value, on every rank; the others wait and do not call it.

        A `GoldenNoiseError` is raised on rank 0 alone: the others leave quietly with exit code 2.
        """
        if self.size == 1:
            return work()
        if not self.is_first:
            answer = _broadcast(None, source=0)
            if "error" in answer:
                raise SystemExit(2)
            return answer["result"]
        try:
            with machine_errors():
                result = work()
        except GoldenNoiseError as error:
            _broadcast({"error": str(error)}, source=0)
            raise
        _broadcast({"result": result}, source=0)
        return result

    def on_all(self, work: Callable[[], object]) -> None:
        """Do `work`, its own share, on every rank; return when the last is done.

        A `GoldenNoiseError` on any rank is raised on rank 0, once all have come to their end; the others leave quietly
        with exit code 2.
        """
        error: GoldenNoiseError | None = None
        try:
            with machine_errors():
                work()
        except GoldenNoiseError as raised:
            if self.size == 1:
                raise
            error = raised
            # At once: the others may have days of work before them.
            print(f"error in process {self.rank}: {error}", file=sys.stderr, flush=True)
        if self.size == 1:
            return
        own = {"error": error and str(error)}
        answers = [_broadcast(own if rank == self.rank else None, source=rank) for rank in range(self.size)]
        failed = [answer["error"] for answer in answers if answer["error"] is not None]
        if failed and self.is_first:
            raise error or GoldenNoiseError(failed[0])
        if failed:
            raise SystemExit(2)


def _broadcast(answer: dict[str, Any] | None, source: int) -> dict[str, Any]:
    """The answer of rank `source`, None on all others, sent as the bytes of its JSON: torch's own way pickles."""
    import torch
    from torch import distributed

    payload = torch.tensor(list(json.dumps(answer).encode()), dtype=torch.uint8)
    length = torch.tensor([len(payload)])
    distributed.broadcast(length, src=source)
    if answer is None:
        payload = torch.zeros(int(length), dtype=torch.uint8)
    distributed.broadcast(payload, src=source)
    return dict(json.loads(bytes(payload.tolist())))


@contextmanager
def joined(compute: ComputeConfig) -> Iterator[Processes]:
    """The process group of this run, of one process where `compute.devices` is 1; it lasts until the program ends.

    Raises `ConfigError` when another number of processes was started. A mistake on another rank than 0 is printed
    there, and the process leaves with exit code 2.
    """
    processes = _started()
    if processes.size != compute.devices:
        were = "process was" if processes.size == 1 else "processes were"
        raise ConfigError(
            f"compute.devices={compute.devices}, but {processes.size} {were} started: use torchrun --nproc-per-node "
            f"{compute.devices} -m goldennoise ... compute.devices={compute.devices}"
        )
    if processes.size == 1:
        yield processes
        return
    _join(processes, compute)
    try:
        yield processes
    except GoldenNoiseError as error:
        if processes.is_first:
            raise
        print(f"error in process {processes.rank}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _join(processes: Processes, compute: ComputeConfig) -> None:
    from torch import distributed

    if distributed.is_initialized():
        return  # for an earlier stage of the same run
    backend = "cpu:gloo,cuda:nccl" if compute.torch_device().type == "cuda" else "gloo"
    store = _own_store(processes) if processes.launcher == "torchrun" and processes.num_nodes == 1 else None
    distributed.init_process_group(
        backend, rank=processes.rank, world_size=processes.size, store=store, timeout=LONGEST_WAIT
    )
    atexit.register(distributed.destroy_process_group)


def _own_store(processes: Processes) -> Any:
    """What these processes tell each other their addresses by, apart from those that torchrun started before.

    torchrun keeps one store through its restarts: a process would connect to the address of one that is dead. On
    several machines the counts of restarts may differ, and processes with different ones would wait for each other.
    """
    from torch import distributed

    store, _, _ = next(distributed.rendezvous("env://", processes.rank, processes.size, timeout=LONGEST_WAIT))
    store.set_timeout(LONGEST_WAIT)
    return distributed.PrefixStore(f"restart {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)


def _started() -> Processes:
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        size = int(environment["WORLD_SIZE"])
        return Processes(int(environment["RANK"]), size, size // int(environment["LOCAL_WORLD_SIZE"]), "torchrun")
    # Of srun's own: a batch script, whose one process may start others, has the rest of Slurm's variables too.
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _slurm()
    return Processes()


def _slurm() -> Processes:
    """srun's variables under torchrun's names, which torch and the rest of the program read.

    Raises `ConfigError` for a job whose processes per node Slurm does not tell.
    """
    if "SLURM_NTASKS_PER_NODE" not in os.environ:  # Lightning refuses that too, with a traceback
        raise ConfigError("srun tells no number of processes per node: start the job with --ntasks-per-node=N")
    from lightning.fabric.plugins.environments import SLURMEnvironment

    slurm = SLURMEnvironment(auto_requeue=False)
    os.environ |= {
        "RANK": str(slurm.global_rank()),
        "LOCAL_RANK": str(slurm.local_rank()),
        "WORLD_SIZE": str(slurm.world_size()),
        "MASTER_ADDR": slurm.main_address,
        "MASTER_PORT": str(slurm.main_port),
    }
    return Processes(slurm.global_rank(), slurm.world_size(), int(os.environ.get("SLURM_NNODES", "1")), "srun")
