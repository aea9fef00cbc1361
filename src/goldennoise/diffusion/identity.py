"""Which frozen model an artifact was made with: an artifact of one model must not be taken for one of another."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from goldennoise.shapes.locations import PIPELINE

SAME_MODEL = ("kind", "path", "revision", "lora", "weights")
"""What names a model's weights; steps and guidance may differ between training and evaluation."""


def model_identity(config: Any) -> dict[str, Any]:
    """A model config, and a digest of the weights where they can change under the same path: those we ship."""
    return asdict(config) | {"weights": _shipped_weights() if getattr(config, "path", None) == "shapes" else None}


def differences(recorded: Mapping[str, Any], config: Any) -> list[str]:
    """For each part that names the weights and differs: "model.path=b, not a"."""
    used = model_identity(config)
    return [
        f"model.{part}={used.get(part)}, not {recorded.get(part)}"
        for part in SAME_MODEL
        if used.get(part) != recorded.get(part)
    ]


@cache
def _shipped_weights() -> str:
    """First 12 hex digits of a SHA-256 over all weight files of the shapes world."""
    digest = hashlib.sha256()
    for file in sorted(PIPELINE.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
