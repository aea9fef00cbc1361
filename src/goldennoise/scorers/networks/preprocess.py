"""Images as CLIP and BLIP towers take them: the references' preprocessing in tensors, so that gradients pass.

The references but HPSv2 resize 8-bit pixels with Pillow, which resizes rows and then columns and stores whole levels
after each. So do these tensors, with the gradient of the resizing as if nothing had been rounded. On 8-bit images fewer
than one value in a hundred differs, by one or two levels of 255 (tests/unit/scorers).
Pillow 13 begins with the columns where an image is more than about twice as tall as wide; its predecessors, with which
the references' scores were published, do not.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

Odd = Literal["even", "down"]
"""Where a crop starts when half a pixel is left over: at the nearest even pixel, as torchvision does, or below it, as
transformers' image processors do."""


def cropped(images: Tensor, side_px: int, odd: Odd = "even") -> Tensor:
    """The shorter side resized to `side_px`, then the middle: (B, 3, side_px, side_px), in CLIP's normalisation.

    images: (B, 3, height, width), float in [0, 1], of any size.
    """
    height, width = images.shape[-2:]
    shorter = min(height, width)
    # In levels, so that sums that end on half a level, as at twice the size, are exact and round as Pillow's.
    rows = _stored(images.float() * 255, height, int(side_px * width / shorter))
    resized = _stored(rows, int(side_px * height / shorter), rows.shape[-1])
    top, left = (_start(side - side_px, odd) for side in resized.shape[-2:])
    return _normalised(resized[..., top : top + side_px, left : left + side_px] / 255)


def letterboxed(images: Tensor, side_px: int) -> Tensor:
    """The longer side resized to `side_px`, black beside it: (B, 3, side_px, side_px), in CLIP's normalisation.

    images: (B, 3, height, width), float in [0, 1], of any size. HPSv2's own preprocessing, which resizes tensors, so
    that bicubic overshoot stays.
    """
    images = images.float()
    height, width = images.shape[-2:]
    scale = side_px / max(height, width)
    resized = _resized(images, round(height * scale), round(width * scale))
    above, left = ((side_px - side) // 2 for side in resized.shape[-2:])
    below, right = (side_px - side - before for side, before in zip(resized.shape[-2:], (above, left), strict=True))
    return _normalised(F.pad(resized, (left, right, above, below)))


def _stored(levels: Tensor, height: int, width: int) -> Tensor:
    """Resized to whole levels from 0 to 255; bicubic overshoot leaves that range."""
    resized = _resized(levels, height, width)
    return resized if resized is levels else _rounded(resized.clamp(0, 255))


def _rounded(levels: Tensor) -> Tensor:
    return levels + ((levels + 0.5).floor() - levels).detach()


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    """Bicubic with antialias, in which torch uses Pillow's kernel (a = -0.5)."""
    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, size=(height, width), mode="bicubic", antialias=True)


def _start(left_over: int, odd: Odd) -> int:
    return round(left_over / 2) if odd == "even" else left_over // 2


def _normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD))
    return (images - mean) / std
