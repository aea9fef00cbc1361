"""Families that differ in names and defaults alone, and the one builder of them. Imports no torch."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.diffusion.base import PipelineConfig

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel


class Row(PipelineConfig):
    """As `PipelineConfig`, whose steps and guidance are diffusers' defaults."""

    pipeline: ClassVar[str]
    """Class of the diffusers pipelines of this family."""
    model: ClassVar[str]
    """Module of this package and class in it that make them a `DiffusionModel`."""


@dataclass(frozen=True)
class StableDiffusion(Row):
    """Stable Diffusion 1.x and 2.x: a UNet on VAE latents, text from one CLIP encoder. The packaged world is one."""

    pipeline, model = "StableDiffusionPipeline", "latent_unet.StableDiffusion"

    kind: str = "stable_diffusion"
    path: str = "shapes"
    negative_prompt: str = ""


@dataclass(frozen=True)
class StableDiffusionXL(Row):
    """SDXL and models of its architecture, such as DreamShaper XL: text from two CLIP encoders.

    Without a negative prompt the pipeline's own rule holds, zeros for most models.
    """

    pipeline, model = "StableDiffusionXLPipeline", "latent_unet.StableDiffusionXL"

    kind: str = "stable_diffusion_xl"
    path: str = "stabilityai/stable-diffusion-xl-base-1.0"
    guidance: float = 5.0


@dataclass(frozen=True)
class PixArtSigma(Row):
    """PixArt-Sigma: a transformer on VAE latents that predicts noise, text from T5; sampled as the UNets are."""

    pipeline, model = "PixArtSigmaPipeline", "latent_dit.PixArtSigma"
    side_multiple_px: ClassVar[int] = 16

    kind: str = "pixart_sigma"
    path: str = "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS"
    num_steps: int = 20
    guidance: float = 4.5
    negative_prompt: str = ""


@dataclass(frozen=True)
class HunyuanDiT(Row):
    """Hunyuan-DiT: a transformer on VAE latents that predicts v, text from a bilingual CLIP and mT5; sampled as the
    UNets are."""

    pipeline, model = "HunyuanDiTPipeline", "latent_dit.HunyuanDiT"
    side_multiple_px: ClassVar[int] = 16

    kind: str = "hunyuan_dit"
    path: str = "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers"
    guidance: float = 5.0
    negative_prompt: str = ""


@dataclass(frozen=True)
class StableDiffusion3(Row):
    """Stable Diffusion 3 and 3.5: a flow-matching transformer, text from two CLIP encoders and T5; the one sampler is
    the pipeline's own Euler along the flow."""

    pipeline, model = "StableDiffusion3Pipeline", "latent_flow.StableDiffusion3"
    side_multiple_px: ClassVar[int] = 16
    schedulers: ClassVar[tuple[str, ...]] = ("flow_euler",)
    timestep_spacings: ClassVar[tuple[str, ...]] = ()

    kind: str = "stable_diffusion_3"
    path: str = "stabilityai/stable-diffusion-3.5-large"
    num_steps: int = 28
    guidance: float = 7.0
    scheduler: str = "flow_euler"
    negative_prompt: str = ""


@dataclass(frozen=True)
class Sana(Row):
    """SANA: a flow-matching transformer on latents of 32 x 32 px, text from Gemma; `flow_dpmpp_2m` is the sampler of
    its authors."""

    pipeline, model = "SanaPipeline", "latent_flow.Sana"
    side_multiple_px: ClassVar[int] = 32
    schedulers: ClassVar[tuple[str, ...]] = ("flow_euler", "flow_dpmpp_2m")
    timestep_spacings: ClassVar[tuple[str, ...]] = ()

    kind: str = "sana"
    path: str = "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers"
    num_steps: int = 20
    guidance: float = 4.5
    scheduler: str = "flow_dpmpp_2m"
    negative_prompt: str = ""


class Family:
    """What a module of a family has, for a row of the table."""

    def __init__(self, config: type[Row]) -> None:
        self.Config = config
        self.PIPELINES = (config.pipeline,)

    def build(self, config: Row, device: "torch.device") -> "DiffusionModel":
        """Load the pipeline and move it to `device`. Raises `ModelError` for one missing or of another family."""
        return self._model().load(config, self.PIPELINES, device)

    def from_pipeline(self, pipe: Any, negative_prompt: str | None = None) -> Any:
        """A pipeline with its own scheduler, device and dtype, and diffusers' default steps and guidance."""
        name, default = pipe.name_or_path or type(pipe).__name__, self.Config()
        return self._model()(
            pipe, name=name, num_steps=default.num_steps, guidance=default.guidance, negative_prompt=negative_prompt
        )

    def _model(self) -> Any:
        module, _, name = self.Config.model.partition(".")
        return getattr(importlib.import_module(f"goldennoise.diffusion.families.{module}"), name)


FAMILIES = {
    row().kind: Family(row)
    for row in (StableDiffusion, StableDiffusionXL, PixArtSigma, HunyuanDiT, StableDiffusion3, Sana)
}
