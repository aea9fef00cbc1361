"""What the functions of the public API are given, checked and made one."""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

from goldennoise.diffusion.pipeline import LatentPipeline
from goldennoise.errors import require


def prompts_of(prompt: Any) -> list[str]:
    """The texts, at least one. Raises `ConfigError` for anything else."""
    allowed = "a text or a list of at least one"
    require(isinstance(prompt, Iterable), "prompt", repr(prompt), allowed)
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    require(len(prompts) > 0, "prompt", repr(prompt), allowed)
    for text in prompts:
        require(isinstance(text, str), "prompt", f"a list with {text!r}", allowed)
    return prompts


def check_negative(negative_prompt: Any) -> None:
    """Raises `ConfigError` for what is no text."""
    is_text = negative_prompt is None or isinstance(negative_prompt, str)
    require(is_text, "negative_prompt", f"a {type(negative_prompt).__name__}", "one text for all prompts")


def check_numbers(guidances: Mapping[str, Any], counts: Mapping[str, Any]) -> None:
    """Raises `ConfigError` for numbers of another kind; what is out of range is for the caller to refuse."""
    for name, value in guidances.items():
        require(isinstance(value, Real) and math.isfinite(value), name, repr(value), "a finite number")
    for name, value in counts.items():
        require(isinstance(value, Integral), name, repr(value), "a whole number")


def check_noise(latents: Any, generator: Any, num_prompts: int) -> None:
    """Raises `ConfigError` for what is no noise, and no generator, for this number of prompts."""
    if generator is not None and not isinstance(generator, Generator):
        listed = isinstance(generator, list) and all(isinstance(one, Generator) for one in generator)
        allowed = "a torch.Generator, such as torch.Generator().manual_seed(0), or a list of them"
        require(listed, "generator", repr(generator), allowed)
        fits = latents is not None or len(generator) == num_prompts
        allowed = f"one generator, or one for each of the {num_prompts} prompts"
        require(fits, "generator", f"a list of {len(generator)}", allowed)
    if latents is None:
        return
    is_noise = isinstance(latents, Tensor) and latents.is_floating_point()
    found = f"a tensor of {latents.dtype}" if isinstance(latents, Tensor) else f"a {type(latents).__name__}"
    require(is_noise and latents.ndim > 0, "latents", found, "a floating-point tensor (B, C, h, w)")
    require(
        len(latents) == num_prompts,
        "latents",
        f"a batch of {len(latents)}",
        f"one noise for each of the {num_prompts} prompts; repeat the prompts for several images of each",
    )


def source_noise(
    model: LatentPipeline,
    num_prompts: int,
    shape: tuple[int, ...],
    generator: Generator | list[Generator] | None,
    latents: Tensor | None,
) -> Tensor:
    """The noise given, or the noise the pipeline would draw with this generator, in that dtype on its device.

    Noise of another floating-point dtype or on another device is converted, as the pipeline itself does.
    """
    if latents is not None:
        return latents.to(model.device, model.noise_dtype)
    return randn_tensor((num_prompts, *shape), generator=generator, device=model.device, dtype=model.noise_dtype)
