"""The machine that results are of."""

import platform
import subprocess
import time
from importlib import metadata
from os import cpu_count
from typing import Any

import torch

PACKAGES = (
    *("torch", "torchvision", "diffusers", "transformers", "accelerate", "lightning", "peft", "timm"),
    *("open_clip_torch", "numpy", "triton"),
)


def described(device: torch.device) -> dict[str, Any]:
    """What results begin with. device: "cpu (no GPU)", or the GPU's name."""
    on_gpu = device.type == "cuda"
    machine: dict[str, Any] = {
        "cpu_cores": cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    if on_gpu:
        properties = torch.cuda.get_device_properties(0)
        machine |= {
            "gpu_memory_gb": properties.total_memory / 1e9,
            "capability": f"{properties.major}.{properties.minor}",
            "num_gpus": torch.cuda.device_count(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "nccl": ".".join(map(str, torch.cuda.nccl.version())),
        }
    return {
        "format": 1,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu (no GPU)",
        "models": "full size" if on_gpu else "tiny",
        "started": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "machine": machine,
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
