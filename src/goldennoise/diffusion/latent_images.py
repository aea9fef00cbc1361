"""Between latents and images: what a pipeline's VAE does."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from goldennoise.diffusion.schedules.ddim import at_least_float32


class LatentImages:
    """`decode` and `encode_images` of a `DiffusionModel`, on the VAE of `_pipe`.

    latent_shape: (C, h, w). device: that the VAE is computed on.
    """

    _pipe: Any
    device: torch.device
    latent_shape: tuple[int, int, int]
    _num_decoded: int | None = None
    """Images that pass the VAE at once, None for the whole batch."""

    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, 3, height, width), float32 in [0, 1], of latents (B, C, h, w)."""
        parts = latents.split(self._num_decoded or len(latents))
        images = torch.cat([self._decode(part) for part in parts]) if len(parts) > 1 else self._decode(latents)
        # Offloaded, the decoder is to make room for what comes next; but not before a gradient went back through it.
        if not torch.is_grad_enabled():
            self._pipe.maybe_free_model_hooks()
        return images

    def encode_images(self, images: Sequence[Tensor]) -> Tensor:
        """Latents (B, C, h, w), float32, of images (3, height, width) in [0, 1] of any size, see `fitted`.

        Of the VAE's distribution of latents, where it has one, the mean.
        """
        height, width = (side * self._pipe.vae_scale_factor for side in self.latent_shape[1:])
        parts = torch.stack([fitted(image, height, width) for image in images]).split(self._num_decoded or len(images))
        latents = torch.cat([self._encode_images(part) for part in parts])
        self._pipe.maybe_free_model_hooks()
        return latents

    def _encode_images(self, images: Tensor) -> Tensor:
        vae = self._vae
        encoded = vae.encode((images * 2 - 1).to(self.device, vae.dtype))
        latents = (encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latent).float()
        # What decoding scales and shifts each channel by, taken back.
        shift = self._unscaled(latents.new_zeros(1, latents.shape[1], 1, 1))
        scale = self._unscaled(latents.new_ones(1, latents.shape[1], 1, 1)) - shift
        return (latents - shift) / scale

    def _decode(self, latents: Tensor) -> Tensor:
        vae = self._vae
        pixels = vae.decode(self._unscaled(latents).to(vae.dtype), return_dict=False)[0]
        return (pixels.float() / 2 + 0.5).clamp(0, 1)

    @property
    def _vae(self) -> Any:
        """The VAE in the dtype it computes in."""
        return self._pipe.vae

    def _unscaled(self, latents: Tensor) -> Tensor:
        """Latents as the VAE's encoder made them, at least float32."""
        return latents.to(at_least_float32(latents.dtype)) / self._pipe.vae.config.scaling_factor


def fitted(image: Tensor, height: int, width: int) -> Tensor:
    """The largest centred part of an image (3, h, w) in [0, 1] of this ratio, resized to (3, height, width) px."""
    if image.shape[1:] == (height, width):
        return image
    scale = min(image.shape[1] / height, image.shape[2] / width)
    part = functional.center_crop(image, [round(scale * height), round(scale * width)])
    return functional.resize(part, [height, width], InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
