"""What a check of a device is: a function of a place that says how far two results lie apart.

Where there is a GPU its results are compared with the CPU's. Where there is none the same code compares the CPU with
itself, so that nothing in it runs for the first time on a GPU.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CPU = torch.device("cpu")
POISONED = ("CUDA error", "device-side assert", "illegal memory access", "CUDNN_STATUS", "NCCL error")
"""Words of errors after which a process can no longer use its GPU."""


@dataclass(frozen=True)
class Place:
    """device: that is checked. folder: an empty one, for files."""

    device: torch.device
    folder: Path

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"


@dataclass(frozen=True)
class Found:
    """deviation: the largest, None where nothing is compared. told: what else there is to say."""

    deviation: float | None = None
    told: str = ""


class NotHere(Exception):  # noqa: N818
    """What a place does not have, and why."""


@dataclass(frozen=True)
class Check:
    """tolerance: largest deviation allowed, None where nothing is compared. limit_s: after which it is stopped."""

    name: str
    run: Callable[[Place], Found]
    tolerance: float | None
    limit_s: int


CHECKS: dict[str, Check] = {}
"""By name, in the order of work; filled by the modules of `goldennoise`'s checks as they are imported."""


def add(name: str, run: Callable[..., Found], tolerance: float | None, limit_s: int = 60, **settings: Any) -> None:
    """A check to make. settings: further arguments of `run`."""
    assert name not in CHECKS, name
    CHECKS[name] = Check(name, partial(run, **settings), tolerance, limit_s)


def deviation(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest magnitude expected; infinite for other shapes, and where a number is none."""
    found, expected = (each.detach().to("cpu", torch.float64) for each in (found, expected))
    if found.shape != expected.shape or not bool(found.isfinite().all() & expected.isfinite().all()):
        return float("inf")
    if torch.equal(found, expected):
        return 0.0
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Float32 as such: no TF32, the same kernels every time."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def outcome(check: Check, place: Place) -> dict[str, Any]:
    """What came of a check, as the results hold it. status: passed, failed, or "not here" with the reason."""
    start = time.perf_counter()
    status, found = "passed", Found()
    try:
        with exact_arithmetic():
            found = check.run(place)
        if check.tolerance is not None and not (found.deviation is not None and found.deviation <= check.tolerance):
            status = "failed"
    except NotHere as reason:
        status, found = "not here", Found(told=str(reason))
    except Exception:
        status, found = "failed", Found(told=traceback.format_exc()[-2000:])
    return {
        "status": status,
        "deviation": found.deviation,
        "tolerance": check.tolerance,
        "seconds": round(time.perf_counter() - start, 3),
        "told": found.told,
    }


def is_poisoned(told: str) -> bool:
    """Whether the process that told this can no longer use its GPU."""
    return any(word in told for word in POISONED)
