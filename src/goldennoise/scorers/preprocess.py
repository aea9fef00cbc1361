"""Images as CLIP and BLIP towers take them: the references' preprocessing in tensors, so that gradients pass.

The references resize 8-bit pixels with Pillow, which rounds to whole levels after each of its two passes; here nothing
is rounded. On 8-bit images the two differ by at most 1.1 levels of 255, on average by 0.3 (tests/unit/scorers).
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
    # Pillow resizes rows and then columns, and stores levels after each: bicubic overshoot ends at black and white.
    rows = _resized(images, height, int(side_px * width / shorter)).clamp(0, 1)
    resized = _resized(rows, int(side_px * height / shorter), rows.shape[-1]).clamp(0, 1)
    top, left = (_start(side - side_px, odd) for side in resized.shape[-2:])
    return _normalised(resized[..., top : top + side_px, left : left + side_px])


def letterboxed(images: Tensor, side_px: int) -> Tensor:
    """The longer side resized to `side_px`, black beside it: (B, 3, side_px, side_px), in CLIP's normalisation.

    images: (B, 3, height, width), float in [0, 1], of any size. HPSv2's own preprocessing, which resizes tensors, so
    that bicubic overshoot stays.
    """
    height, width = images.shape[-2:]
    scale = side_px / max(height, width)
    resized = _resized(images, round(height * scale), round(width * scale))
    above, left = ((side_px - side) // 2 for side in resized.shape[-2:])
    below, right = (side_px - side - before for side, before in zip(resized.shape[-2:], (above, left), strict=True))
    return _normalised(F.pad(resized, (left, right, above, below)))


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    """Bicubic with antialias in float32; torch then uses Pillow's kernel (a = -0.5)."""
    if images.shape[-2:] == (height, width):
        return images.float()
    return F.interpolate(images.float(), size=(height, width), mode="bicubic", antialias=True)


def _start(left_over: int, odd: Odd) -> int:
    return round(left_over / 2) if odd == "even" else left_over // 2


def _normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD))
    return (images - mean) / std
