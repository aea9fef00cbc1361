"""PixArt-Sigma: a transformer on VAE latents that predicts noise, text from T5. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.diffusion.base import PipelineConfig

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel

PIPELINES = ("PixArtSigmaPipeline",)


@dataclass(frozen=True)
class Config(PipelineConfig):
    """As `PipelineConfig`; the sampler is one of those of the UNet families."""

    side_multiple_px: ClassVar[int] = 16

    kind: str = "pixart_sigma"
    path: str = "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS"
    guidance: float = 4.5
    negative_prompt: str = ""


def build(config: Config, device: "torch.device") -> "DiffusionModel":
    """Load the pipeline and move it to `device`. Raises `ModelError` for one that is missing or of another family."""
    from goldennoise.diffusion.families.latent_dit import PixArtSigma

    return PixArtSigma.load(config, PIPELINES, device)


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> "DiffusionModel":
    """A `PixArtSigmaPipeline` with its own scheduler, device and dtype, and diffusers' default 20 steps at 4.5."""
    from goldennoise.diffusion.families.latent_dit import PixArtSigma

    name = pipe.name_or_path or type(pipe).__name__
    return PixArtSigma(pipe, name=name, num_steps=20, guidance=4.5, negative_prompt=negative_prompt)
