"""The world's autoencoder: 64 px images to 4 x 16 x 16 latents of mean 0 and deviation 1."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from loop import Recipe, fit
from torch import Tensor

RECIPES = {
    "autoencoder": Recipe(num_steps=1800, batch_size=32, learning_rate=2e-3),
    "autoencoder_polish": Recipe(num_steps=1300, batch_size=32, learning_rate=1.5e-3, seed=1),
    "autoencoder_sharpen": Recipe(num_steps=800, batch_size=32, learning_rate=1.2e-3, seed=2),
}
KL_WEIGHTS = {"autoencoder": 3e-4, "autoencoder_polish": 1e-5, "autoencoder_sharpen": 1e-6}
"""The strong weight shapes the latents; under the weak ones they keep faint tints and sharp edges."""
NUM_FOR_STATISTICS = 2000
CROP_PX = 32
WHOLE_BATCH_SIZE = 8
OBJECT_WEIGHT = 4.0
"""Objects cover a tenth of an image and carry all its content."""
OBJECT_CONTRAST = 0.25
NUM_CORNERS = 4
"""Of so many random crops the one with the most content is taken: most are blank."""
NUM_WHOLE_STEPS = 150
"""Last steps see whole images: group norm has other statistics on crops."""


def build() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(24, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=64,
    )


def train(pixels: np.ndarray, folder: Path) -> AutoencoderKL:
    torch.manual_seed(0)
    vae = build()
    for name, recipe in RECIPES.items():

        def loss_of(step: int, generator: torch.Generator, name: str = name, recipe: Recipe = recipe) -> Tensor:
            images = _batch(pixels, recipe, step, generator)
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample(generator)).sample
            divergence = posterior.kl().mean() / posterior.mean[0].numel()
            return _reconstruction(decoded, images) + KL_WEIGHTS[name] * divergence

        fit(name, vae, recipe, loss_of, folder)
    _normalise(vae, encode(vae, pixels[:NUM_FOR_STATISTICS]))
    return vae


@torch.no_grad()
def _normalise(vae: AutoencoderKL, latents: Tensor) -> None:
    """Fold shift and scale into the 1 x 1 convolutions around the latents: mean 0 and deviation 1 in every channel.

    A mean other than 0 leaks through the schedule's last step, whose signal is not quite zero; sampling starts without.
    """
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    channels = len(mean)
    into, out = vae.quant_conv, vae.post_quant_conv
    into.weight[:channels] /= deviation.view(-1, 1, 1, 1)
    into.bias[:channels] = (into.bias[:channels] - mean) / deviation
    into.bias[channels:] -= 2 * deviation.log()
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight *= deviation.view(1, -1, 1, 1)
    vae.register_to_config(scaling_factor=1.0)


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: np.ndarray) -> Tensor:
    """Latent means (n, 4, 16, 16) of uint8 pixels (n, 64, 64, 3)."""
    parts = [vae.encode(_to_model(pixels[i : i + 100])).latent_dist.mean for i in range(0, len(pixels), 100)]
    return torch.cat(parts)


def _batch(pixels: np.ndarray, recipe: Recipe, step: int, generator: torch.Generator) -> Tensor:
    whole = step >= recipe.num_steps - NUM_WHOLE_STEPS
    size = WHOLE_BATCH_SIZE if whole else recipe.batch_size
    images = _to_model(pixels[torch.randint(len(pixels), (size,), generator=generator).sort().values.numpy()])
    if whole:
        return images
    corners = torch.randint(images.shape[-1] - CROP_PX + 1, (len(images), NUM_CORNERS, 2), generator=generator)
    return torch.stack([_fullest_crop(image, choices) for image, choices in zip(images, corners.tolist(), strict=True)])


def _fullest_crop(image: Tensor, corners: list[list[int]]) -> Tensor:
    crops = [image[:, y : y + CROP_PX, x : x + CROP_PX] for y, x in corners]
    return max(crops, key=lambda crop: float(crop.std()))


def _reconstruction(decoded: Tensor, images: Tensor) -> Tensor:
    """Mean absolute error, with more weight on and around the objects."""
    background = images.flatten(2).median(dim=2).values[:, :, None, None]
    objects = ((images - background).abs().amax(dim=1, keepdim=True) > OBJECT_CONTRAST).float()
    weight = 1 + OBJECT_WEIGHT * F.max_pool2d(objects, 5, stride=1, padding=2)
    return (weight * (decoded - images).abs()).sum() / (weight.sum() * images.shape[1])


def _to_model(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
