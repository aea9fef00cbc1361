"""Stable Diffusion 1.x and 2.x: a UNet on VAE latents, text from one CLIP encoder. Imports no torch."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise.errors import require

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel

PIPELINES = ("StableDiffusionPipeline",)
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Config:
    """path: "shapes" for the packaged world, a local diffusers folder, or a hub id (with `revision`).

    num_steps, guidance: the recommended sampler settings, which every method is compared at.
    height, width: of the image in px, None for the model's own.
    """

    kind: str = "stable_diffusion"
    path: str = "shapes"
    revision: str | None = None
    num_steps: int = 50
    guidance: float = 7.5
    scheduler: str = "ddim"
    dtype: str = "float32"
    height: int | None = None
    width: int | None = None
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        require(bool(self.path), "path", repr(self.path), 'a folder, a hub id or "shapes"')
        require(self.num_steps >= 1, "num_steps", self.num_steps, "at least 1")
        require(0 <= self.guidance < math.inf, "guidance", self.guidance, "a finite number >= 0")
        require(self.scheduler == "ddim", "scheduler", self.scheduler, "ddim")
        require(self.dtype in DTYPES, "dtype", self.dtype, f"one of {', '.join(DTYPES)}")
        for option, side_px in (("height", self.height), ("width", self.width)):
            require(
                side_px is None or (side_px > 0 and side_px % 8 == 0), option, side_px, "null or a multiple of 8 px"
            )


def build(config: Config, device: "torch.device") -> "DiffusionModel":
    """Load the pipeline and move it to `device`. Raises `ModelError` for one that is missing or of another family."""
    import torch
    from diffusers import DDIMScheduler

    from goldennoise.diffusion.latent_unet import StableDiffusion
    from goldennoise.diffusion.loading import load_pipeline

    pipe = load_pipeline(config.path, config.revision, getattr(torch, config.dtype), PIPELINES)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, thresholding=False)
    folder = Path(config.path).expanduser()
    return StableDiffusion(
        pipe.to(device),
        name=folder.resolve().name if folder.is_dir() else config.path,
        num_steps=config.num_steps,
        guidance=config.guidance,
        negative_prompt=config.negative_prompt,
        height=config.height,
        width=config.width,
    )


def from_pipeline(pipe: Any) -> "DiffusionModel":
    """A `StableDiffusionPipeline` with its own scheduler, device and dtype, and diffusers' default 50 steps at 7.5."""
    from goldennoise.diffusion.latent_unet import StableDiffusion

    return StableDiffusion(pipe, name=pipe.name_or_path or type(pipe).__name__, num_steps=50, guidance=7.5)
