"""The tone of an image of the shapes world, whose backgrounds are dark or light and never between. No network.

It only reports: nothing of a caption says which tone an image has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.data.lightness import lightness
from goldennoise.data.prompts import Prompt
from goldennoise.store.options import Options, either, option

if TYPE_CHECKING:
    import torch
    from torch import Tensor

POSSIBLE = ((10, 85), (170, 255))
"""Lightness of a background of the world, with what its objects and the autoencoder may change."""


@dataclass(frozen=True)
class Config(Options):
    """What a score counts."""

    kind: str = "shapes_tone"
    measure: str = option("possible", either("possible", "level"))
    """Whether the background is one that the world has (possible), or its lightness from 0 to 255 (level)."""


class ShapesTone:
    """1 where the background is dark or light as the world's are, else 0; or its lightness."""

    version = "1"
    differentiable = False
    may_select = False
    continuous = False

    def __init__(self, measure: str) -> None:
        self.name = "shapes_tone" if measure == "possible" else "shapes_tone_level"
        self.unit = "share possible" if measure == "possible" else "lightness"
        self.higher_is_better = True if measure == "possible" else None
        self.usual = (0.0, 1.0) if measure == "possible" else (0.0, 255.0)
        self._measure = measure

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":  # noqa: ARG002
        """(B,) in [0, 1], or in [0, 255]. images: (B, 3, height, width), float in [0, 1], of any prompts."""
        found = lightness(images.detach().float().cpu().clamp(0, 1))
        if self._measure == "level":
            return found
        (darkest, dark), (light, lightest) = POSSIBLE
        return ((darkest <= found) & (found <= dark) | (light <= found) & (found <= lightest)).float()


def version(config: Config) -> str:  # noqa: ARG001
    """Of the rules."""
    return ShapesTone.version


def build(config: Config, device: "torch.device") -> ShapesTone:  # noqa: ARG001
    """It runs on the CPU whatever the device."""
    return ShapesTone(config.measure)
