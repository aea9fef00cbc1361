"""Noise levels: densities of training, and sampling on a schedule that a network predicts."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, fromarray
from torch import Generator, Tensor

from goldennoise.api.arguments import check_negative, check_noise, check_numbers, prompts_of, source_noise
from goldennoise.diffusion import noise_levels as densities
from goldennoise.diffusion.eval_mode import in_eval_mode
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.noise_levels.base import NoiseLevels
from goldennoise.diffusion.noise_levels.table import stable_diffusion
from goldennoise.diffusion.plan import SamplingPlan, Schedule
from goldennoise.diffusion.schedules.fixed import FixedSchedule
from goldennoise.diffusion.schedules.learned import LearnedSchedule
from goldennoise.diffusion.text_options import read_options
from goldennoise.errors import ModelError, require, shortened
from goldennoise.networks.time_predictor.network import TimePredictor


@dataclass(frozen=True)
class Sampled:
    """What `sample` gives. images: one for each prompt. levels: that each went through, from its start down to 0."""

    images: list[Image]
    levels: list[tuple[float, ...]]


@torch.no_grad()
def sample(
    pipe: Any,
    prompt: str | Iterable[str],
    schedule: TimePredictor | Sequence[float] | np.ndarray | Tensor,
    generator: Generator | list[Generator] | None = None,
    latents: Tensor | None = None,
    guidance_scale: float | None = None,
    max_steps: int | None = None,
    min_level: float | None = None,
    negative_prompt: str | None = None,
    **text_options: Any,
) -> Sampled:
    """Images of a diffusers pipeline at its own size, on the noise levels of a schedule in place of its timesteps.

    >>> predictor = goldennoise.load_time_predictor("outputs/schedule/shapes/v1")
    >>> images = goldennoise.sample(pipe, prompts, schedule=predictor, generator=generator).images

    Steps are those of DDIM, or straight along a flow, so the pipeline's scheduler must be DDIM or FlowMatchEuler.
    schedule: what `load_time_predictor` gives, which reads at every step how far to go, or falling noise levels that
    end at 0, 1 being the first of training. generator, latents, negative_prompt, text_options: as in `re_denoise`.
    guidance_scale: None for that of the predictor's training, or the default of the pipeline's call where nobody knows
    it. max_steps, min_level: of a predictor, None for those of its training; the last allowed step and a level below
    min_level go to 0.
    Raises `ConfigError` for arguments that do not fit, `ModelError` for another scheduler, for latents of another
    shape and for a predictor of another model.
    """
    numbers = {"guidance_scale": guidance_scale, "min_level": min_level}
    check_numbers(_given(numbers), _given({"max_steps": max_steps}))
    check_negative(negative_prompt)
    chosen = _schedule(schedule, max_steps, min_level)
    model = from_pipeline(pipe, negative_prompt)
    prompts = prompts_of(prompt)
    options = read_options(text_options, model.text_options, "sample", len(prompts))
    check_noise(latents, generator, len(prompts))
    if latents is not None and tuple(latents.shape[1:]) != model.latent_shape:
        raise ModelError(f"The noise must be (B, {', '.join(map(str, model.latent_shape))}), not {(*latents.shape,)}.")
    model.require_walked()
    if guidance_scale is None and isinstance(schedule, TimePredictor):
        guidance_scale = schedule.config.guidance
    if guidance_scale is None:
        guidance_scale = inspect.signature(type(pipe).__call__).parameters["guidance_scale"].default
    with in_eval_mode(pipe):
        embedding = model.encode(prompts, options)
        source = source_noise(model, len(prompts), model.latent_shape, generator, latents)
        found = model.sample(SamplingPlan(source, guidance_scale, schedule=chosen), embedding)
        pixels = (model.decode(found).clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    return Sampled([fromarray(image.permute(1, 2, 0).numpy()) for image in pixels], chosen.taken(len(prompts)))


def _given(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in numbers.items() if value is not None}


def _schedule(given: Any, max_steps: int | None, min_level: float | None) -> Schedule:
    if isinstance(given, TimePredictor):
        require(max_steps is None or max_steps >= 1, "max_steps", max_steps, "at least 1")
        require(min_level is None or 0 < min_level < 1, "min_level", min_level, "above 0 and below 1")
        return LearnedSchedule(given, max_steps, min_level)
    allowed = "what load_time_predictor gives, or a list of noise levels that fall from 1 at most to 0"
    is_listed = isinstance(given, Sequence | np.ndarray | Tensor) and not isinstance(given, str)
    require(is_listed, "schedule", f"a {type(given).__name__}", allowed)
    try:
        levels = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        levels = np.empty(0)
    is_list = levels.ndim == 1 and len(levels) > 1
    falls = is_list and 0 < levels[0] <= 1 and levels[-1] == 0 and bool((np.diff(levels) < 0).all())
    require(falls, "schedule", shortened(list(given)), allowed)
    return FixedSchedule(tuple(levels.tolist()))


def noise_levels(
    density: str, alpha_bars: Sequence[float] | np.ndarray | Tensor | None = None, **options: float
) -> NoiseLevels:
    """A density of the log SNR of noise levels, with `quantile(u)`, `cdf(log_snr)` and `density(log_snr)`.

    >>> levels = noise_levels("laplace", mean=0.0, scale=0.5)
    >>> log_snr = levels.quantile(torch.rand(32))

    density: such as "laplace", "cosine" or "uniform"; see `goldennoise.diffusion.noise_levels`. alpha_bars: (T,) of the
    training schedule, on which "uniform" depends; None for that of Stable Diffusion. options: of the density.
    Raises `ConfigError` for a density or an option that does not exist, or a value out of range.
    """
    table = stable_diffusion() if alpha_bars is None else np.asarray(alpha_bars, np.float64)
    return densities.built(densities.configured(density, options), table)
