"""The preference model of the shapes world, which stands for HPSv2 there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.data.shapes.locations import CLIP, CLIP_WEIGHTS
from goldennoise.store.hub import digest

if TYPE_CHECKING:
    import torch

    from goldennoise.scorers.protocol import Scorer


@dataclass(frozen=True)
class Config:
    kind: str = "shapes_clip"


def version(config: Config) -> str | None:  # noqa: ARG001
    """Digest of the world's weights; None where they are missing."""
    return digest(str(CLIP), CLIP_WEIGHTS)


def build(config: Config, device: "torch.device") -> "Scorer":  # noqa: ARG001
    """Raises `ScorerError` where the world's weights are missing."""
    from goldennoise.data.shapes.clip import ShapesClip

    return ShapesClip(device)
