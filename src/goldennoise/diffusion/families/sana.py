"""SANA: a flow-matching transformer on latents of 32 x 32 px, text from Gemma. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.diffusion.base import PipelineConfig

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel

PIPELINES = ("SanaPipeline",)


@dataclass(frozen=True)
class Config(PipelineConfig):
    """As `PipelineConfig`; `flow_dpmpp_2m` is the sampler of its authors."""

    side_multiple_px: ClassVar[int] = 32
    schedulers: ClassVar[tuple[str, ...]] = ("flow_euler", "flow_dpmpp_2m")
    timestep_spacings: ClassVar[tuple[str, ...]] = ()

    kind: str = "sana"
    path: str = "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers"
    num_steps: int = 20
    guidance: float = 4.5
    scheduler: str = "flow_dpmpp_2m"
    negative_prompt: str = ""


def build(config: Config, device: "torch.device") -> "DiffusionModel":
    """Load the pipeline and move it to `device`. Raises `ModelError` for one that is missing or of another family."""
    from goldennoise.diffusion.families.latent_flow import Sana

    return Sana.load(config, PIPELINES, device)


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> "DiffusionModel":
    """A `SanaPipeline` with its own scheduler, device and dtype, and diffusers' default 20 steps at 4.5."""
    from goldennoise.diffusion.families.latent_flow import Sana

    name = pipe.name_or_path or type(pipe).__name__
    return Sana(pipe, name=name, num_steps=20, guidance=4.5, negative_prompt=negative_prompt)
