"""Detections written down by hand."""

from collections.abc import Callable

import numpy as np

from goldennoise.scorers.geneval.rules import Detection

Box = tuple[float, float, float, float]


def found(name: str, box: Box = (0, 0, 10, 10), confidence: float = 0.95) -> Detection:
    return Detection(name, confidence, box, np.ones((1, 1), dtype=np.bool_))


def at(name: str, x: float, y: float, confidence: float = 0.95) -> Detection:
    """An object 10 x 10 px large around (x, y)."""
    return found(name, (x - 5, y - 5, x + 5, y + 5), confidence)


def coloured(**colours: str) -> Callable[[Detection], str]:
    """Colour by class; asking for any other is a mistake."""
    return lambda detection: colours[detection.name.replace(" ", "_")]


def nobody_asks(detection: Detection) -> str:
    raise AssertionError(f"the colour of {detection} decides nothing")
