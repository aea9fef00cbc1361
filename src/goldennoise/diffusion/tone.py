"""The tone of initial noise: the channel means that an image leaves in it.

Training noise at the sampler's first timestep still holds a trace of an image, sqrt(alpha-bar) of it, while sampling
starts from noise without any (One More Step, arXiv 2311.15744). Most of what is missed is the mean of each
channel: how light the image is, and its tint.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Generator, Tensor

from goldennoise.data.lightness import MIDDLE, lightness
from goldennoise.data.shapes.locations import TONES
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import DataError, ModelError
from goldennoise.store.files import whole
from goldennoise.store.paths import given_path
from goldennoise.store.tensors import read_tensors

KINDS = ("other", "dark", "light", "gaussian")
"""other: of one of the images, drawn at random. dark, light: the mean over the images that are darker or lighter than
mid grey. gaussian: drawn with the mean and covariance over all images."""
MEANS, LIGHTNESS = "channel_means", "lightness"
IMAGES_AT_ONCE = 8
"""That are read and encoded: photographs and the VAEs of large models fill a memory soon."""


@dataclass(frozen=True)
class Tones:
    """Of N images: channel_means (N, C) of their latents, and lightness (N,), see `goldennoise.data.lightness`."""

    channel_means: Tensor
    lightness: Tensor

    def draw(self, kind: str, seeds: Sequence[int]) -> Tensor:
        """Channel means (B, C), float32, by one of `KINDS`; row i depends on seed i alone.

        Raises `DataError` where no image is dark, or light, and for the covariance of a single one.
        """
        means = self.channel_means
        if kind == "other":
            return means[[seed % len(means) for seed in seeds]]
        if kind == "gaussian":
            if len(means) < 2:
                raise DataError("one image has no covariance, which of=gaussian draws by: take more, or of=other")
            shape = means.shape[1:]
            drawn = [torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64) for seed in seeds]
            return (means.double().mean(dim=0) + torch.stack(drawn) @ _root(means.double().T.cov())).float()
        chosen = (self.lightness < MIDDLE) == (kind == "dark")
        if not chosen.any():
            raise DataError(f"none of the {len(means)} images is {kind}er than mid grey: take others, or of=other")
        return means[chosen].mean(dim=0).expand(len(seeds), -1)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file that `load_tones` reads, whole or not at all."""
        with whole(Path(path)) as beside:
            save_file({MEANS: self.channel_means.contiguous(), LIGHTNESS: self.lightness.contiguous()}, beside)


def tones_file(name: str) -> Path:
    """Of the packaged world for "shapes", else a file as a user writes it."""
    return TONES if name == "shapes" else given_path(name)


def load_tones(path: Path) -> Tones:
    """What `Tones.save` wrote. Raises `ModelError` for a file that is missing, damaged or of another kind."""
    tensors = read_tensors(path, ModelError)
    means, levels = tensors.get(MEANS), tensors.get(LIGHTNESS)
    if means is None or levels is None or means.ndim != 2 or levels.shape != means.shape[:1] or not len(means):
        raise ModelError(f"{path} holds no tones, which are {MEANS} (N, C) and {LIGHTNESS} (N,): write it with save().")
    return Tones(means.float(), levels.float())


@torch.no_grad()
def tones_of(model: DiffusionModel, images: Iterable[Tensor]) -> Tones:
    """The tones of images (3, height, width) in [0, 1] as the model's VAE encodes them."""
    means, levels, remaining = [], [], iter(images)
    while part := [*islice(remaining, IMAGES_AT_ONCE)]:
        means.append(model.encode_images(part).float().mean(dim=(-2, -1)).cpu())
        levels += [lightness(image[None].float()) for image in part]
    return Tones(torch.cat(means), torch.cat(levels))


def toned(noise: Tensor, channel_means: Tensor, alpha_bar: float) -> Tensor:
    """Noise (B, C, h, w) of unit scale whose channel means are as the forward process has them of an image.

    channel_means: (B, C), of the image's latents. alpha_bar: cumulative product of the level, in (0, 1). The means
    become sqrt(alpha_bar) of the image's and sqrt(1 - alpha_bar) of the noise's own; all else stays as it is.
    Raises `ModelError` for tones of another number of channels.
    """
    if channel_means.shape[1] != noise.shape[1]:
        raise ModelError(
            f"The tones are of latents with {channel_means.shape[1]} channels, and those of this model have "
            f"{noise.shape[1]}: take images, or a file made with this model."
        )
    wide = torch.promote_types(noise.dtype, torch.float32)
    own = noise.to(wide).mean(dim=(-2, -1), keepdim=True)
    trace = math.sqrt(alpha_bar) * channel_means.to(noise.device, wide)[..., None, None]
    return (noise + trace - (1 - math.sqrt(1 - alpha_bar)) * own).to(noise.dtype)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a covariance matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
