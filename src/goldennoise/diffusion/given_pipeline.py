"""A diffusers pipeline that is loaded already, as a model."""

from typing import Any

from goldennoise.diffusion import families
from goldennoise.diffusion.pipeline import LatentPipeline
from goldennoise.errors import ModelError

INPAINTED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""Pipelines whose inpainting counterparts start from the latents they are given."""

ITS_OWN = ("__call__", "encode_prompt", "prepare_latents")
"""Methods that decide what a pipeline does with noise and text."""


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> LatentPipeline:
    """A loaded diffusers pipeline as a model; its components are used as they are and not changed.

    A ControlNet or inpainting pipeline is taken as the model that it steers: noise and text are those of that model,
    what steers it acts in the pipeline's own steps alone. A class of the user's is taken as the one of diffusers that
    it derives from, if it leaves `ITS_OWN` to it. negative_prompt: what guidance leads away from, None for what the
    pipeline takes without one. Raises `ModelError` when no family takes such pipelines.
    """
    known = families.pipelines()
    names = {kind: _steered(kind.__name__) for kind in type(pipe).__mro__ if kind.__module__.startswith("diffusers.")}
    base = next((kind for kind, name in names.items() if name in known), None)
    if base is None:
        raise ModelError(
            f"{type(pipe).__name__} is not supported: pass a diffusers pipeline of class "
            f"{' or '.join(sorted(known))}, one of these with ControlNet, or one of Stable Diffusion or SDXL that "
            "inpaints."
        )
    own = [name for name in ITS_OWN if getattr(type(pipe), name) is not getattr(base, name)]
    if own:
        raise ModelError(
            f"{type(pipe).__name__} is a {base.__name__} with its own {' and '.join(own)}, which may treat noise or "
            f"text in another way: if it does not, pass {base.__name__}.from_pipe(pipe)."
        )
    return known[names[base]].from_pipeline(pipe, negative_prompt)


def _steered(name: str) -> str:
    """Class name of the pipeline whose model a ControlNet or inpainting pipeline steers; of others their own."""
    plain = name.replace("ControlNet", "").replace("Inpaint", "")
    return name if "Inpaint" in name and plain not in INPAINTED else plain
