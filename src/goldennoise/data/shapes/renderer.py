"""Draws scenes: signed distances give every shape smooth edges without supersampling."""

import numpy as np

from goldennoise.data.shapes.scenes import Scene
from goldennoise.data.shapes.vocabulary import IMAGE_SIZE_PX

Array = np.ndarray


def render(scene: Scene) -> Array:
    """The scene as uint8 pixels of shape (64, 64, 3)."""
    y, x = np.mgrid[0:IMAGE_SIZE_PX, 0:IMAGE_SIZE_PX] + 0.5
    canvas = np.broadcast_to(np.array(scene.background, dtype=np.float64), (IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3))
    for item in scene.objects:
        alpha = coverage(item.shape, x - item.x_px, y - item.y_px, item.half_px)[..., None]
        canvas = canvas * (1 - alpha) + np.array(item.rgb) * alpha
    return np.round(canvas).astype(np.uint8)


def coverage(shape: str, x: Array, y: Array, half_px: Array | float) -> Array:
    """Share of each pixel that the shape covers, in [0, 1], for pixel centres relative to the shape's centre."""
    return np.clip(0.5 - _signed_distance(shape, x, y, half_px), 0.0, 1.0)


def _signed_distance(shape: str, x: Array, y: Array, half: Array | float) -> Array:
    if shape == "circle":
        return np.hypot(x, y) - half
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.88 * half
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.72 * half) - 0.28 * half
    if shape == "cross":
        long, short = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
        return np.maximum(long - half, short - 0.34 * half)
    # An equilateral triangle, point up, side 2 * half, centred on its bounding box.
    height = np.sqrt(3) / 2 * half
    slope = (np.sqrt(3) * np.abs(x) - (y + height)) / 2
    return np.maximum(slope, y - height)
