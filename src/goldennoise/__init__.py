"""Find, learn and fairly compare golden noise for text-to-image diffusion."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldennoise.api import (
        GoldenNoise,
        Sampled,
        load_npnet,
        load_scores,
        load_time_predictor,
        noise_levels,
        re_denoise,
        sample,
    )

__version__ = version("goldennoise")
__all__ = [
    "GoldenNoise",
    "Sampled",
    "load_npnet",
    "load_scores",
    "load_time_predictor",
    "noise_levels",
    "re_denoise",
    "sample",
]


def __getattr__(name: str) -> Any:
    """Load the public API, and torch with it, on first use: the command line must answer before torch is there."""
    if name in __all__:
        return getattr(import_module("goldennoise.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
