"""Images of any size made the size of a model's."""

from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional


def fitted(image: Tensor, height: int, width: int) -> Tensor:
    """The largest centred part of an image (3, h, w) in [0, 1] of this ratio, resized to (3, height, width) px."""
    if image.shape[1:] == (height, width):
        return image
    scale = min(image.shape[1] / height, image.shape[2] / width)
    part = functional.center_crop(image, [round(scale * height), round(scale * width)])
    return functional.resize(part, [height, width], InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
