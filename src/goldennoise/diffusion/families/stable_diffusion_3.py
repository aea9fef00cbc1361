"""Stable Diffusion 3 and 3.5: a flow-matching transformer, text from two CLIP encoders and T5. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.diffusion.base import PipelineConfig

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel

PIPELINES = ("StableDiffusion3Pipeline",)


@dataclass(frozen=True)
class Config(PipelineConfig):
    """As `PipelineConfig`; the one sampler is the pipeline's own Euler along the flow."""

    side_multiple_px: ClassVar[int] = 16
    schedulers: ClassVar[tuple[str, ...]] = ("flow_euler",)
    timestep_spacings: ClassVar[tuple[str, ...]] = ()

    kind: str = "stable_diffusion_3"
    path: str = "stabilityai/stable-diffusion-3.5-large"
    num_steps: int = 28
    guidance: float = 7.0
    scheduler: str = "flow_euler"
    negative_prompt: str = ""


def build(config: Config, device: "torch.device") -> "DiffusionModel":
    """Load the pipeline and move it to `device`. Raises `ModelError` for one that is missing or of another family."""
    from goldennoise.diffusion.families.latent_flow import StableDiffusion3

    return StableDiffusion3.load(config, PIPELINES, device)


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> "DiffusionModel":
    """A `StableDiffusion3Pipeline` with its own scheduler, device and dtype, and diffusers' default 28 steps at 7."""
    from goldennoise.diffusion.families.latent_flow import StableDiffusion3

    name = pipe.name_or_path or type(pipe).__name__
    return StableDiffusion3(pipe, name=name, num_steps=28, guidance=7.0, negative_prompt=negative_prompt)
