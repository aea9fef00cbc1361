"""How light the background of an image is."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MIDDLE = 127.5
"""Between dark and light."""


def lightness(images: "Tensor") -> "Tensor":
    """(B,) from 0 to 255: the median over pixels of the channels' mean, of images (B, 3, height, width) in [0, 1]."""
    return images.mean(dim=1).flatten(1).median(dim=1).values * 255
