"""Which frozen model an artifact was made with: an artifact of one model must not be taken for one of another."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from goldennoise.shapes.locations import PIPELINE

SAME_MODEL = ("kind", "path", "revision", "lora", "weights")
"""What names a model's weights; steps and guidance may differ between training and evaluation."""
WEIGHTS = "*.safetensors"


def model_identity(config: Any) -> dict[str, Any]:
    """A model config, and a digest of the weights where they can change under the same path: all but the hub's.

    First 12 hex digits of a SHA-256 over the weight files of `path`, and of `lora`.
    """
    path, lora = getattr(config, "path", None), getattr(config, "lora", None)
    named = [
        Path(source).expanduser() for source in (PIPELINE if path == "shapes" else path, lora) if source is not None
    ]
    sources = [source for source in named if source.exists()]
    files = [file for source in sources for file in ([source] if source.is_file() else sorted(source.rglob(WEIGHTS)))]
    return asdict(config) | {"weights": _digest(tuple(map(_state, files))) if files else None}


def differences(recorded: Mapping[str, Any], config: Any) -> list[str]:
    """For each part that names the weights and differs: "model.path=b, not a"."""
    used = model_identity(config)
    return [
        f"model.{part}={used.get(part)}, not {recorded.get(part)}"
        for part in SAME_MODEL
        if used.get(part) != recorded.get(part)
    ]


def _state(file: Path) -> tuple[Path, int, int]:
    """A file and what changes when it is written again."""
    state = file.stat()
    return file, state.st_size, state.st_mtime_ns


@cache
def _digest(states: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, *_ in states:
        with path.open("rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
    return digest.hexdigest()[:12]
