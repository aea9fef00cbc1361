"""Frozen text-to-image models behind one protocol, and re-denoise sampling on top of it.

A family is one module here with a `Config`, `build(config, device)`, the class names of the diffusers pipelines it
takes (`PIPELINES`) and `from_pipeline(pipe, negative_prompt)`.
"""

from types import ModuleType
from typing import TYPE_CHECKING, Any

from goldennoise import registry
from goldennoise.errors import ModelError

if TYPE_CHECKING:
    from goldennoise.diffusion.latent_pipeline import LatentPipeline

PARTS = (
    "base",
    "condition",
    "ddim",
    "eval_mode",
    "flow",
    "identity",
    "latent_dit",
    "latent_flow",
    "latent_flux",
    "latent_images",
    "latent_pipeline",
    "latent_texts",
    "latent_unet",
    "loading",
    "lora",
    "protocol",
    "re_denoise",
    "running",
    "schedulers",
    "text_options",
)

INPAINTED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""Pipelines whose inpainting counterparts start from the latents they are given."""


def kinds() -> list[str]:
    """Names of the families."""
    return registry.kinds(__name__, PARTS)


def component(kind: str) -> ModuleType:
    """The module of a family. Raises `ConfigError` for one that does not exist."""
    return registry.component(__name__, "kind of model", kind, kinds())


def pipelines() -> dict[str, ModuleType]:
    """Class name of every supported diffusers pipeline -> the family that takes it."""
    return {name: family for family in map(component, kinds()) for name in family.PIPELINES}


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> "LatentPipeline":
    """A loaded diffusers pipeline as a model; its components are used as they are and not changed.

    A ControlNet or inpainting pipeline is taken as the model that it steers: noise and text are those of that model,
    what steers it acts in the pipeline's own steps alone. negative_prompt: what guidance leads away from, None for what
    the pipeline takes without one. Raises `ModelError` when no family takes such pipelines.
    """
    families, name = pipelines(), type(pipe).__name__
    base = name.replace("ControlNet", "").replace("Inpaint", "")
    if base not in families or ("Inpaint" in name and base not in INPAINTED):
        raise ModelError(
            f"{name} is not supported: pass a diffusers pipeline of class {' or '.join(sorted(families))}, one of "
            "these with ControlNet, or one of Stable Diffusion or SDXL that inpaints."
        )
    return families[base].from_pipeline(pipe, negative_prompt)
