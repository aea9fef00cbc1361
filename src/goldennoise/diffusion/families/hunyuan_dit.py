"""Hunyuan-DiT: a transformer on VAE latents that predicts v, text from a bilingual CLIP and mT5. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.diffusion.base import PipelineConfig

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel

PIPELINES = ("HunyuanDiTPipeline",)


@dataclass(frozen=True)
class Config(PipelineConfig):
    """As `PipelineConfig`; the sampler is one of those of the UNet families."""

    side_multiple_px: ClassVar[int] = 16

    kind: str = "hunyuan_dit"
    path: str = "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers"
    guidance: float = 5.0
    negative_prompt: str = ""


def build(config: Config, device: "torch.device") -> "DiffusionModel":
    """Load the pipeline and move it to `device`. Raises `ModelError` for one that is missing or of another family."""
    from goldennoise.diffusion.families.latent_dit import HunyuanDiT

    return HunyuanDiT.load(config, PIPELINES, device)


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> "DiffusionModel":
    """A `HunyuanDiTPipeline` with its own scheduler, device and dtype, and diffusers' default 50 steps at 5.0."""
    from goldennoise.diffusion.families.latent_dit import HunyuanDiT

    name = pipe.name_or_path or type(pipe).__name__
    return HunyuanDiT(pipe, name=name, num_steps=50, guidance=5.0, negative_prompt=negative_prompt)
