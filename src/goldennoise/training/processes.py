"""The processes that train together: started by torchrun or srun; rank 0 looks after the artifact.

Imports torch and Lightning only where there are several processes: a run whose artifact is complete needs neither.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from goldennoise.compute import ComputeConfig
from goldennoise.errors import ConfigError, GoldenNoiseError

LONGEST_WAIT = timedelta(hours=12)
"""How long processes wait for rank 0, which encodes all prompts and decomposes all noises before training begins."""


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

    def from_first(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `work` returns on rank 0, JSON-like, on every rank; the others wait and do not call it.

        A `GoldenNoiseError` is raised on rank 0 alone: the others leave quietly with exit code 2.
        """
        if self.size == 1:
            return work()
        if not self.is_first:
            answer = _broadcast(None)
            if "error" in answer:
                raise SystemExit(2)
            return dict(answer["result"])
        try:
            result = work()
        except GoldenNoiseError as error:
            _broadcast({"error": str(error)})
            raise
        _broadcast({"result": result})
        return result


def _broadcast(answer: dict[str, Any] | None) -> dict[str, Any]:
    """Rank 0's answer, sent as the bytes of its JSON: torch's own broadcast of objects pickles."""
    import torch
    from torch import distributed

    payload = torch.tensor(list(json.dumps(answer).encode()), dtype=torch.uint8)
    length = torch.tensor([len(payload)])
    distributed.broadcast(length, src=0)
    if answer is None:
        payload = torch.zeros(int(length), dtype=torch.uint8)
    distributed.broadcast(payload, src=0)
    return dict(json.loads(bytes(payload.tolist())))


@contextmanager
def joined(compute: ComputeConfig) -> Iterator[Processes]:
    """The process group of this run, of one process where `compute.devices` is 1; dissolved at the end.

    Raises `ConfigError` when another number of processes was started. A mistake that all ranks meet is raised on rank 0
    alone.
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
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if compute.torch_device().type == "cuda" else "gloo"
    distributed.init_process_group(backend, rank=processes.rank, world_size=processes.size, timeout=LONGEST_WAIT)
    try:
        yield processes
    except GoldenNoiseError:
        if processes.is_first:
            raise
        raise SystemExit(2) from None
    finally:
        distributed.destroy_process_group()


def _started() -> Processes:
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        size = int(environment["WORLD_SIZE"])
        return Processes(int(environment["RANK"]), size, size // int(environment["LOCAL_WORLD_SIZE"]), "torchrun")
    if "SLURM_PROCID" in environment and int(environment.get("SLURM_NTASKS", "1")) > 1:
        return _slurm()
    return Processes()


def _slurm() -> Processes:
    """srun's variables under torchrun's names, which torch and the rest of the program read."""
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
