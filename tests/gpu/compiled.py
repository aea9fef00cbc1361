"""Checks of compute.compile, which take longest."""

from gpu.models import SHAPES
from gpu.options import changed
from gpu.place import add


def register() -> None:
    for family in (SHAPES, "stable_diffusion_xl", "flux"):
        add(f"compute.compile, {family}", changed, 1e-2, 150, family=family, compile=True)
