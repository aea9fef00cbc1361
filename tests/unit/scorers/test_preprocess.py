"""Preprocessing in tensors against the references', on 8-bit images of many shapes: Pillow, or tensors for HPSv2."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as tv
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from goldennoise.scorers.networks.preprocess import MEAN, STD, cropped, letterboxed

BICUBIC = InterpolationMode.BICUBIC
SIDE_PX = 224
SIZES = [(512, 512), (224, 224), (64, 64), (768, 512), (229, 337), (300, 1000), (231, 224), (225, 227), (100, 37)]
LEVEL = 1 / 255
ANTIALIAS: Any = {"mode": "bicubic", "antialias": True}


def pixels(height: int, width: int, sigma: float) -> Any:
    """8-bit colour noise, smoothed: sigma 0 is the worst case for rounding and overshoot."""
    noise = np.random.default_rng(height * width).normal(size=(height, width, 3))
    smooth = gaussian_filter(noise, (sigma, sigma, 0)) if sigma else noise
    return np.uint8(np.clip(127.5 + 70 * smooth / smooth.std(), 0, 255))


def tensor(image: Any) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def denormalised(normalised: Tensor) -> Tensor:
    return normalised[0] * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sigma", [0, 3])
def test_cropping_is_that_of_pillow(size: tuple[int, int], sigma: float) -> None:
    image = pixels(*size, sigma)
    by_pillow = CenterCrop(SIDE_PX)(Resize(SIDE_PX, interpolation=BICUBIC)(Image.fromarray(image)))
    expected = torch.from_numpy(np.array(by_pillow)).permute(2, 0, 1).float() / 255
    difference = (denormalised(cropped(tensor(image), SIDE_PX)) - expected).abs()
    assert difference.max() < 2.01 * LEVEL
    assert (difference > 0.01 * LEVEL).float().mean() < 1e-2


@pytest.mark.parametrize("left_over", [0, 1, 2, 3, 5])
def test_half_a_pixel_goes_where_the_reference_puts_it(left_over: int) -> None:
    image = tensor(pixels(SIDE_PX, SIDE_PX + left_over, 0))
    by_torchvision = tv.center_crop(image, [SIDE_PX])[0]
    below = image[0, :, :, left_over // 2 : left_over // 2 + SIDE_PX]
    torch.testing.assert_close(denormalised(cropped(image, SIDE_PX)), by_torchvision)
    torch.testing.assert_close(denormalised(cropped(image, SIDE_PX, odd="down")), below)


@pytest.mark.parametrize("size", SIZES)
def test_letterbox_is_a_resized_tensor_in_black(size: tuple[int, int]) -> None:
    image = tensor(pixels(*size, 0))
    scale = SIDE_PX / max(size)
    height, width = (round(side * scale) for side in size)
    resized = tv.resize(image, [height, width], BICUBIC)
    expected = torch.zeros(3, SIDE_PX, SIDE_PX)
    top, left = (SIDE_PX - height) // 2, (SIDE_PX - width) // 2
    expected[:, top : top + height, left : left + width] = resized[0]
    torch.testing.assert_close(denormalised(letterboxed(image, SIDE_PX)), expected)


@pytest.mark.parametrize("preprocess", [cropped, letterboxed])
def test_the_normalisation_is_that_of_clip(preprocess: Any) -> None:
    grey = torch.full((1, 3, 8, 8), 0.5)
    expected = [(0.5 - 0.48145466) / 0.26862954, (0.5 - 0.4578275) / 0.26130258, (0.5 - 0.40821073) / 0.27577711]
    torch.testing.assert_close(preprocess(grey, 8)[0, :, 4, 4], torch.tensor(expected))


def test_the_gradient_is_that_of_resizing_without_rounding() -> None:
    images = (0.3 + 0.4 * tensor(pixels(40, 30, 3))).requires_grad_()
    weights = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    (cropped(images, 16) * weights).sum().backward()
    smooth = images.detach().clone().requires_grad_()
    resized = F.interpolate(F.interpolate(smooth, size=(40, 16), **ANTIALIAS), size=(21, 16), **ANTIALIAS)
    ((resized[:, :, 2:18] - 0.5) / torch.tensor(STD)[:, None, None] * weights).sum().backward()
    torch.testing.assert_close(images.grad, smooth.grad)


@pytest.mark.parametrize("preprocess", [cropped, letterboxed])
def test_a_gradient_passes_to_every_pixel_that_is_seen(preprocess: Any) -> None:
    images = (0.3 + 0.4 * tensor(pixels(20, 30, 0))).requires_grad_()
    preprocess(images, 16).square().sum().backward()
    assert images.grad is not None
    seen = images.grad[0].abs().sum(0) > 0
    assert seen[:, 6:24].all()
    assert seen.all() == (preprocess is letterboxed)


def test_missing_pixels_stay_missing() -> None:
    images = torch.full((1, 3, 40, 40), float("nan"))
    assert cropped(images, 16).isnan().all()
    assert letterboxed(images, 16).isnan().all()


def test_half_precision_is_resized_in_full() -> None:
    image = tensor(pixels(90, 70, 0))
    torch.testing.assert_close(cropped(image.half(), SIDE_PX), cropped(image.half().float(), SIDE_PX))
