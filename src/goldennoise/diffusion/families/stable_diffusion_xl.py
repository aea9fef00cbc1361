"""SDXL and models of its architecture, such as DreamShaper XL: text from two CLIP encoders. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.diffusion.base import PipelineConfig

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel

PIPELINES = ("StableDiffusionXLPipeline",)


@dataclass(frozen=True)
class Config(PipelineConfig):
    """As `PipelineConfig`; without a negative prompt the pipeline's own rule holds, zeros for most models."""

    kind: str = "stable_diffusion_xl"
    path: str = "stabilityai/stable-diffusion-xl-base-1.0"
    guidance: float = 5.0


def build(config: Config, device: "torch.device") -> "DiffusionModel":
    """Load the pipeline and move it to `device`. Raises `ModelError` for one that is missing or of another family."""
    from goldennoise.diffusion.families.latent_unet import StableDiffusionXL

    return StableDiffusionXL.load(config, PIPELINES, device)


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> "DiffusionModel":
    """A `StableDiffusionXLPipeline` with its own scheduler, device and dtype, and diffusers' default 50 steps at 5."""
    from goldennoise.diffusion.families.latent_unet import StableDiffusionXL

    name = pipe.name_or_path or type(pipe).__name__
    return StableDiffusionXL(pipe, name=name, num_steps=50, guidance=5.0, negative_prompt=negative_prompt)
