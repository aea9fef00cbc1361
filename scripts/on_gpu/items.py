"""What there is to do on a device: the checks of tests/gpu, and measurements of full-size models."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / "tests"), str(ROOT / "scripts")]
sys.path[:0] = PATHS

import bench_models  # noqa: E402
import torch  # noqa: E402
from bench_models import FullSize, Option  # noqa: E402
from gpu.checks import CHECKS  # noqa: E402
from gpu.place import Place, outcome  # noqa: E402
from tiny import tiny_xl_pipeline  # noqa: E402
from tiny_transformers import tiny_pixart_pipeline  # noqa: E402

SIDE_PX, ROUNDS = 1024, 5
TINY_SIDE_PX, TINY_ROUNDS = 32, 1
MATRIX, TINY_MATRIX = 8192, 128
NUM_PRODUCTS = 10
OPTIONS = bench_models.OPTIONS | {"model.dtype=float16": Option(dtype=torch.float16)}
TINY: dict[str, FullSize] = {
    "sdxl": FullSize(tiny_xl_pipeline, 50, (77, 24), {"pooled": (12,)}),
    "pixart_sigma": FullSize(tiny_pixart_pipeline, 50, (300, 16), {"mask": (300,)}),
}
"""In the place of the full sizes on a machine without a GPU."""
PEAKS = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class Item:
    """run: gives what the results hold of it. limit_s: after which it is stopped. is_alone: in a process of its own."""

    name: str
    kind: str
    run: Callable[[Path], dict[str, Any]]
    limit_s: int
    is_alone: bool = False


def items(device: torch.device) -> list[Item]:
    """All, in the order of work: what matters most comes first, what takes longest last."""
    checks = [_check(name, device) for name in CHECKS]
    quick = [item for item in checks if item.limit_s <= 60]
    lines = [item for item in checks if 60 < item.limit_s <= 120]
    compiled = [item for item in checks if item.limit_s > 120]
    measured = [_measurement(model, option, device) for option in OPTIONS for model in bench_models.MODELS]
    by_kind = {True: [], False: []}
    for item in measured:
        by_kind["compile" in item.name].append(item)
    peaks = [Item(f"peak of {name}", "peak", lambda _, name=name: peak(name, device), 60) for name in PEAKS]
    num_first = len(bench_models.MODELS)
    first, rest = by_kind[False][:num_first], by_kind[False][num_first:]
    return [*peaks, *quick, *first, *lines, *rest, *compiled, *by_kind[True]]


def _check(name: str, device: torch.device) -> Item:
    check = CHECKS[name]
    return Item(name, "check", lambda folder: outcome(check, Place(device, folder)), check.limit_s)


def _measurement(model: str, option: str, device: torch.device) -> Item:
    is_compiled = "compile" in option
    is_alone = is_compiled and device.type == "cuda"  # what is compiled for it stays in the memory that is measured
    limit_s = 180 if is_compiled else 60
    return Item(f"{model}: {option}", "measurement", lambda _: measured(model, option, device), limit_s, is_alone)


def measured(model: str, option: str, device: torch.device) -> dict[str, Any]:
    """Of a full-size model on a GPU, of a tiny one elsewhere."""
    on_gpu = device.type == "cuda"
    chosen = OPTIONS[option]
    about = {"model": model, "option": option}
    if chosen.compute.get("offload") and not on_gpu:
        return about | {"status": "not here", "told": "compute.offload needs a GPU"}
    full_size = bench_models.MODELS[model] if on_gpu else TINY[model]
    side_px, rounds = (SIDE_PX, ROUNDS) if on_gpu else (TINY_SIDE_PX, TINY_ROUNDS)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        about["memory_before_gb"] = torch.cuda.memory_allocated() / 1e9
    billions, tera_flop = bench_models.work(full_size, side_px)
    found = bench_models.measure(full_size, chosen, side_px, rounds)
    settings = {
        "side_px": side_px, "rounds": rounds, "num_steps": full_size.num_steps, "num_images": chosen.num_images,
        "dtype": str(chosen.dtype).removeprefix("torch."), "billion_weights": billions, "tera_flop": tera_flop,
    }  # fmt: skip
    figures = bench_models.figures(found, chosen, tera_flop, full_size.num_steps)
    return about | {"status": "passed"} | settings | asdict(found) | asdict(figures)


def peak(name: str, device: torch.device) -> dict[str, Any]:
    """TFLOP/s of products of large random matrices, the median; float32 without TF32."""
    size = MATRIX if device.type == "cuda" else TINY_MATRIX
    one, other = (torch.randn(size, size, device=device).to(PEAKS[name]) for _ in range(2))
    torch.set_float32_matmul_precision("highest")
    seconds = bench_models.median_s(lambda: one @ other, NUM_PRODUCTS)
    return {"status": "passed", "dtype": name, "size": size, "tera_flop_per_s": 2 * size**3 / seconds / 1e12}


def timed(item: Item, folder: Path) -> dict[str, Any]:
    start = time.perf_counter()
    found = item.run(folder)
    return {"name": item.name, "kind": item.kind} | {"seconds": round(time.perf_counter() - start, 2)} | found
