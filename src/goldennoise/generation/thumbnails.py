"""Features of an image that no scorer has learnt: which colours are where."""

import torch.nn.functional as F
from torch import Tensor

THUMBNAILS = "thumbnails"
THUMBNAIL_PX = 16


def thumbnails(images: Tensor) -> Tensor:
    """Features (B, 768) of images (B, 3, height, width) in [0, 1]: colours of 16 x 16 areas, from mid-grey on.

    They know what is where and in which colour, and nothing that a scorer has learnt: the embedding of a scorer that
    chose the images holds what it chose them for.
    """
    return F.adaptive_avg_pool2d(images.float(), THUMBNAIL_PX).flatten(1) - 0.5
