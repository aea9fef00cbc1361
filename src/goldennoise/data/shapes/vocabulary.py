"""What the shapes world can show: its shapes, colours, sizes, counts and relations."""

from typing import Final

IMAGE_SIZE_PX: Final = 64

SHAPES: Final = ("circle", "square", "triangle", "cross", "ring")

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (215, 45, 45),
    "green": (45, 165, 65),
    "blue": (45, 85, 215),
    "yellow": (240, 205, 45),
    "purple": (150, 60, 190),
    "cyan": (45, 195, 205),
}

SIZES: Final[dict[str, tuple[float, float]]] = {"small": (7.5, 8.5), "large": (11.0, 12.5)}
"""Size word -> range of the half extent in px."""

SIZE_BOUNDARY_PX: Final = 9.75
"""An object with a smaller half extent is small, any other is large."""

COUNTS: Final = {2: "two", 3: "three", 4: "four"}

RELATIONS: Final[dict[str, tuple[int, int]]] = {
    "left of": (1, 0),
    "right of": (-1, 0),
    "above": (0, 1),
    "below": (0, -1),
}
"""Relation of A to B -> direction from A to B in image axes (x to the right, y down)."""

OPPOSITE: Final = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

KINDS: Final = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
"""Kinds of caption, named as GenEval names them."""

TEMPLATES: Final = ("{}", "a picture of {}", "a drawing of {}", "an image of {}")

TONES: Final[dict[str, tuple[int, int]]] = {"dark": (20, 70), "bright": (185, 245)}
"""Word before a caption that asks for a tone of the background -> range of its level from 0 to 255.

Captions do not name the tone. The text encoder of the world has never read these words. It reads causally, so a word at
the start shows in all of its output, and each is 3 tokens, with which the longest caption fits its 16.
"""
