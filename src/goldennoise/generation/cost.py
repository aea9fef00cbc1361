"""What an image costs: passes of the denoiser, seconds, and the peak of memory in use."""

import ctypes
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from goldennoise.diffusion.protocol import DiffusionModel

GPU_MEMORY = "GPU memory allocated"
PROCESS_MEMORY = "resident memory of the process"
NO_MEMORY = "not measured"

_PROCESS = Path("/proc/self")


@dataclass
class Cost:
    """Filled when the block measured by `measure` ends; totals over its samples, memory as a peak.

    peak_memory_bytes includes what is loaded anyway (the weights); None where the system offers no such figure.
    memory: which memory that is, one of the constants above.
    """

    num_evaluations: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int | None = None
    memory: str = NO_MEMORY


@contextmanager
def measure(model: DiffusionModel) -> Iterator[Cost]:
    """Measure a block that runs `model`, on whichever device it is."""
    cost = Cost()
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(model.device)
        torch.cuda.reset_peak_memory_stats(model.device)
    can_measure = on_gpu or _reset_resident_peak()
    evaluations, start = model.num_evaluations, time.perf_counter()
    yield cost
    if on_gpu:
        torch.cuda.synchronize(model.device)
    elif model.device.type == "mps":
        torch.mps.synchronize()
    cost.seconds = time.perf_counter() - start
    cost.num_evaluations = model.num_evaluations - evaluations
    if on_gpu:
        cost.peak_memory_bytes, cost.memory = torch.cuda.max_memory_allocated(model.device), GPU_MEMORY
    elif can_measure:
        cost.peak_memory_bytes, cost.memory = _resident_peak_bytes(), PROCESS_MEMORY


def _reset_resident_peak() -> bool:
    """Set the process's peak to its present size (Linux, proc(5)); False where that is not possible."""
    if not _PROCESS.is_dir():
        return False
    # What an earlier block freed, the C library may still hold: it would count as this one's.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident_peak_bytes() -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB", (_PROCESS / "status").read_text(), re.MULTILINE)
    assert found is not None, "a kernel that offers clear_refs also reports VmHWM"
    return int(found.group(1)) * 1024
