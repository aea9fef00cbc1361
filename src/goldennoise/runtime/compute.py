"""Where and how a stage runs: device, processes, batch size, memory, speed. None of it may change a result."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.errors import ConfigError, require
from goldennoise.store.options import NOT_NEGATIVE, Check, Options, either, number, one_of, option

if TYPE_CHECKING:
    import torch


DETERMINISTIC_CUBLAS = ":4096:8"
"""A workspace of cuBLAS in which it always sums in the same order."""

ATTENTION = (
    "native",
    "_native_cudnn",
    "_native_efficient",
    "_native_flash",
    "_native_math",
    "flash",
    "flex",
    "xformers",
)
"""Attention backends of diffusers that compute the same up to rounding; others work in 8 bits."""

MOST = 1024
"""Threads or processes: many more than a machine has cores end the program, or the machine."""


def _is_address(ray: str) -> bool:
    found = re.fullmatch(r"[^:/\s]+:(\d+)", ray)
    return ray in ("auto", "local") or (found is not None and int(found[1]) < 2**16)


@dataclass(frozen=True)
class ComputeConfig(Options):
    """Where and how a stage computes."""

    device: str = option("auto", either("auto", "cpu", "cuda", "mps"))
    """auto takes CUDA if there is one, else cpu; cpu, cuda or mps."""
    devices: int = option(1, number(least=1))
    """Processes of torchrun or srun, which share the work; at least 1."""
    ray: str | None = option(None, Check(_is_address, "auto, local or HOST:PORT"))
    """Of the Ray cluster whose nodes make pairs, images, scores and latents: auto finds it, local starts one on this
    machine, or HOST:PORT; null for the processes that were started."""
    ray_cpus: int = option(1, number(least=1))
    """CPUs of each Ray worker, at least 1."""
    ray_gpus: float | None = option(None, NOT_NEGATIVE)
    """GPUs of each Ray worker; below 1 several share one. null takes 1 where the cluster has GPUs, unless device is
    cpu."""
    batch_size: int = option(16, number(least=1))
    """Prompts sampled at once, at least 1."""
    num_workers: int = option(0, number(least=0, most=MOST))
    """Data loader processes, from 0 to 1024."""
    num_threads: int | None = option(None, number(least=1, most=MOST))
    """Of torch on the CPU, from 1 to 1024; null leaves torch's own choice."""
    decode_batch_size: int | None = option(None, number(least=1))
    """Images decoded at once, at least 1; null for all of a batch. Saves memory."""
    offload: bool = False
    """Keep each network on the CPU until it is its turn. Saves memory of a GPU."""
    channels_last: bool = False
    """The memory format of convolutions. Saves time on some machines."""
    compile: bool = False
    """torch.compile of the denoiser. Saves time after the first batch."""
    attention: str | None = option(None, one_of(*ATTENTION))
    """One of `ATTENTION`; null for diffusers' own choice."""

    def __post_init__(self) -> None:
        super().__post_init__()
        can_offload = self.device in ("auto", "cuda")
        require(not self.offload or can_offload, "offload", self.offload, f"false on {self.device}")
        require(self.devices == 1 or self.ray is None, "devices", self.devices, "1 with Ray, which starts processes")
        require(self.devices == 1 or self.device != "mps", "devices", self.devices, "1 on mps")

    def torch_device(self) -> "torch.device":
        """The device of this process, under torchrun or srun the one of its local rank; sets torch's thread count.

        Raises `ConfigError` if CUDA or MPS is chosen and missing, or there are fewer GPUs than processes.
        """
        import os

        import torch

        if self.num_threads is not None:
            torch.set_num_threads(self.num_threads)
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise ConfigError(
                "compute.device=cuda: this machine has no CUDA device that torch can use; take cpu or auto"
            )
        if self.offload and not available:
            raise ConfigError("compute.offload=true: networks wait on the CPU for a GPU, and this machine has none")
        if self.device == "mps":
            if not torch.backends.mps.is_available():
                raise ConfigError("compute.device=mps: this machine has no Metal device that torch can use; take cpu")
            return torch.device("mps")
        if self.device == "cpu" or not available:
            return torch.device("cpu")
        # Training sums in a fixed order. Torch looks at this variable once, at the first matrix product on the GPU, and
        # that one comes before training: it encodes the prompts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", DETERMINISTIC_CUBLAS)
        index = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))
        seen = torch.cuda.device_count()
        if index >= seen:
            raise ConfigError(
                f"process {index} of this machine sees {seen} GPU: start no more processes than it has, and let each "
                "see all of them (in Slurm --gpus-per-node in place of --gpus-per-task)"
            )
        return torch.device("cuda", index)


def computes_natively(dtype: str, device: "torch.device") -> bool:
    """Whether a device has instructions for a number format such as "bfloat16"; a CPU without is 10 times as slow.

    True too where torch does not tell.
    """
    import torch

    features = {"bfloat16": ("avx512_bf16", "amx_bf16"), "float16": ("avx512_fp16", "amx_fp16")}
    if device.type != "cpu" or dtype not in features:
        return True
    told = torch.cpu.get_capabilities()
    return told.get("architecture") != "x86_64" or any(told.get(feature) for feature in features[dtype])
