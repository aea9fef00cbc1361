"""Stable Diffusion 1.x and 2.x: a UNet on VAE latents, text from one CLIP encoder. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.diffusion.base import PipelineConfig

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel

PIPELINES = ("StableDiffusionPipeline",)


@dataclass(frozen=True)
class Config(PipelineConfig):
    """As `PipelineConfig`; the packaged world is of this family."""

    kind: str = "stable_diffusion"
    path: str = "shapes"
    negative_prompt: str = ""


def build(config: Config, device: "torch.device") -> "DiffusionModel":
    """Load the pipeline and move it to `device`. Raises `ModelError` for one that is missing or of another family."""
    from goldennoise.diffusion.families.latent_unet import StableDiffusion

    return StableDiffusion.load(config, PIPELINES, device)


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> "DiffusionModel":
    """A `StableDiffusionPipeline` with its own scheduler, device and dtype, and diffusers' default 50 steps at 7.5."""
    from goldennoise.diffusion.families.latent_unet import StableDiffusion

    name = pipe.name_or_path or type(pipe).__name__
    return StableDiffusion(pipe, name=name, num_steps=50, guidance=7.5, negative_prompt=negative_prompt)
