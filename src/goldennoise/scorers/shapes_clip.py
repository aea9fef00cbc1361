"""The preference model of the shapes world, which stands for HPSv2 there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from goldennoise.scorers.protocol import Scorer


@dataclass(frozen=True)
class Config:
    kind: str = "shapes_clip"


def build(config: Config, device: "torch.device") -> "Scorer":  # noqa: ARG001
    """Raises `ScorerError` where the world's weights are missing."""
    from goldennoise.data.shapes.clip import ShapesClip

    return ShapesClip(device)
