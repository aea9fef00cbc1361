"""A diffusers pipeline with a VAE on latents behind the `DiffusionModel` protocol: what all families share."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from goldennoise.diffusion.base import PipelineConfig
from goldennoise.diffusion.conditioning import Conditioning, conditionings
from goldennoise.diffusion.features import LatentFeatures
from goldennoise.diffusion.identity import named
from goldennoise.diffusion.latent_images import LatentImages
from goldennoise.diffusion.latent_texts import LatentTexts
from goldennoise.diffusion.loading import load_pipeline
from goldennoise.diffusion.lora import merge_lora
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.previews import LatentPreviews
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.sampling import walk
from goldennoise.diffusion.schedules.ddim import DdimSchedule, at_least_float32
from goldennoise.diffusion.schedules.flow import FlowSchedule
from goldennoise.diffusion.schedules.schedulers import (
    check_distilled,
    is_distilled,
    is_stochastic,
    make_scheduler,
)
from goldennoise.diffusion.setup import enable_tiling, tune
from goldennoise.diffusion.tone import Tones, load_tones, toned, tones_file
from goldennoise.errors import ModelError, require
from goldennoise.runtime.seeding import gaussian_noise

if TYPE_CHECKING:
    from goldennoise.runtime.compute import ComputeConfig


def steered(network: Any, needed: str) -> ModelError:
    """What to raise where `network` needs more at every step than noise and text."""
    return ModelError(
        f"This {type(network).__name__} needs {needed} at every step, which only its pipeline has: take golden "
        "noise from a trained NPNet, or re-denoise with the model itself."
    )


class LatentPipeline(LatentImages, LatentTexts, LatentFeatures, LatentPreviews):
    """A `DiffusionModel` on a pipeline's own components, whose modes and weights it leaves alone.

    Same images as calling the pipeline with the same latents. Scales of 0 and 1 take one pass, all others two, unless
    the scale is an input of the network; the pipeline itself has no guidance below 1.
    """

    denoiser: str
    aligned_timesteps: Any = None  # diffusers gives its lists no type
    """Those that Align Your Steps published for the family."""

    def __init__(
        self,
        pipe: Any,
        *,
        name: str,
        num_steps: int,
        guidance: float,
        negative_prompt: str | None = None,
        height: int | None = None,
        width: int | None = None,
        timesteps: Sequence[int] | None = None,
        tones: Tones | None = None,
    ) -> None:
        """height, width: of the image in px, None for the model's own. timesteps: of sampling in `num_steps`.

        tones: that initial noise takes, None for none. Raises `ModelError` for a pipeline it cannot run.
        """
        self._check(pipe)
        self._pipe = pipe
        self._network: Any = getattr(pipe, self.denoiser)
        self.patch_size = self._latents_to_a_patch()
        self._schedule = self._make_schedule()
        self._negative_prompt = negative_prompt
        self._timesteps = timesteps
        self._tones = tones
        self.name = name
        self.num_steps = num_steps
        self.guidance = guidance
        self.latent_shape = self.shape_of(height, width)
        # With offloading the networks wait elsewhere.
        self.device: torch.device = pipe._execution_device
        self.dtype: torch.dtype = self._network.dtype
        self.noise_dtype = self.dtype
        self.num_evaluations = self.num_truncated = 0
        self.is_distilled = is_distilled(pipe.scheduler)

    @classmethod
    def load(cls, config: PipelineConfig, pipelines: Sequence[str], device: torch.device, **settings: Any) -> Self:
        """The pipeline of a config, one of the classes named, on `device`, in eval mode and frozen.

        settings: further arguments of the family. Raises `ModelError` for a pipeline that is missing or does not fit.
        """
        pipe = load_pipeline(config.path, config.revision, getattr(torch, config.dtype), pipelines, config.variant)
        folder = Path(config.path).expanduser()
        name = replace(config, path=named(folder)).name if folder.is_dir() else config.name
        if distilled := is_distilled(pipe.scheduler):
            check_distilled(name, pipe.scheduler, config.scheduler, config.num_steps, config.timestep_spacing)
        pipe.scheduler = cls.scheduler_of(config.scheduler, pipe.scheduler, config.timestep_spacing)
        if config.lora is not None:
            merge_lora(pipe, config.lora)
        if config.vae_tiling:
            enable_tiling(pipe.vae)
        for part in pipe.components.values():
            if isinstance(part, nn.Module):
                part.eval().requires_grad_(False)
        model = cls(
            pipe.to(device),
            name=name,
            num_steps=config.num_steps,
            guidance=config.guidance,
            negative_prompt=config.negative_prompt,
            height=config.height,
            width=config.width,
            timesteps=config.timesteps,
            tones=None if config.tone is None else load_tones(tones_file(config.tone)),
            **settings,
        )
        # The sampler that was chosen says nothing of the model.
        model.is_distilled = distilled
        return model

    def predict(
        self, latents: Tensor, position: int, embedding: PromptEmbedding, guidance: float, num_steps: int
    ) -> Tensor:
        """Guided prediction as the schedule has it, whatever the network predicts; shape and dtype of `latents`."""
        timestep = self._schedule.timestep(position, num_steps, latents)
        wide = latents.to(at_least_float32(latents.dtype))
        output = self._guided(wide, timestep, embedding, guidance)
        return self._schedule.to_prediction(output, wide, timestep).to(latents.dtype)

    def first_output(self, noise: Tensor, embedding: PromptEmbedding, num_steps: int) -> Tensor:
        scheduler, latents = self._begun(noise, num_steps)
        timestep = scheduler.timesteps[0]
        scaled = self._schedule.network_input(scheduler, latents, timestep)
        return self._guided(scaled, timestep, embedding, 1.0).to(noise.dtype)

    def predicts_image(self, position: int, num_steps: int) -> bool:
        return self._schedule.predicts_image(position, num_steps)

    def move(self, latents: Tensor, prediction: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        return self._schedule.move(latents, prediction, start, end, num_steps)

    def levels(self, num_steps: int, latents: Tensor, spacing: str = "uniform") -> list[float]:
        return self._schedule.levels(num_steps, latents, spacing)

    def levels_of(self, timesteps: Sequence[float]) -> list[float]:
        return self._schedule.levels_of(timesteps)

    @property
    def is_toned(self) -> bool:
        return self._tones is not None

    @property
    def network(self) -> nn.Module:
        return getattr(self._network, "_orig_mod", self._network)  # where torch.compile wrapped it

    @property
    def negative_prompt(self) -> str | None:
        return self._negative_prompt

    @property
    def is_stochastic(self) -> bool:
        return is_stochastic(self._pipe.scheduler)

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        noise = gaussian_noise(self.latent_shape, seeds).to(self.device, self.dtype)
        if self._tones is None:
            return noise
        return toned(noise, self._tones.draw("other", seeds), self.alpha_bar_of_start())

    def levels_by(self, density: Any, num_steps: int) -> list[float]:
        return self._schedule.levels_by(density, num_steps)

    def alpha_bar_of_start(self) -> float:
        scheduler, _ = self._begun(torch.zeros(1, *self.latent_shape), self.num_steps)
        alpha_bar = self._schedule.alpha_bar_of(float(scheduler.timesteps[0]))
        if alpha_bar == 0:
            raise ModelError(
                f"{self.name} starts from pure noise, in which nothing of an image is left: it takes no tone "
                "(model.tone=null), no One More Step, and no layout at strength null."
            )
        return alpha_bar

    def predict_at(self, latents: Tensor, level: Tensor, embedding: PromptEmbedding, guidance: float) -> Tensor:
        wide = latents.to(at_least_float32(latents.dtype))
        timestep = torch.tensor(self._schedule.timesteps_at(level), dtype=torch.float32, device=latents.device)
        output = self._guided(wide, timestep, embedding, guidance)
        return self._schedule.to_prediction_at(output, wide, level).to(latents.dtype)

    def move_to(self, latents: Tensor, prediction: Tensor, here: Tensor, there: Tensor) -> Tensor:
        return self._schedule.move_to(latents, prediction, here, there)

    def diffuse(self, latents: Tensor, noise: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        return self._schedule.diffuse(latents, noise, start, end, num_steps)

    def sample(self, plan: SamplingPlan, embedding: PromptEmbedding, step_seeds: Sequence[int] | None = None) -> Tensor:
        noise = plan.noise
        num_steps = self.num_steps if plan.num_steps is None else plan.num_steps
        guidance = self.guidance if plan.guidance is None else plan.guidance
        if plan.schedule is not None:
            self.require_walked()
            return walk(self, noise, embedding, plan.schedule, guidance)
        latents = noise
        for step in self._steps(noise, embedding, num_steps, guidance, step_seeds):
            latents = step.latents
        return latents.to(noise.dtype)

    def run_with(self, compute: "ComputeConfig", device: torch.device) -> None:
        tune(self._pipe, self._network, compute)
        self._num_decoded = compute.decode_batch_size
        if compute.offload:
            # A copy for another dtype has to take its turn like the rest, in the place of the original.
            self._pipe.register_modules(vae=self._vae)
            self._pipe.enable_model_cpu_offload(device=device)
            self.device = self._pipe._execution_device

    @classmethod
    def scheduler_of(cls, option: str, scheduler: Any, spacing: str | None = None) -> Any:
        """The sampler of an option on the schedule of the pipeline's own. Raises `ModelError` where there is none."""
        return make_scheduler(option, scheduler.config, spacing)

    def shape_of(self, height: int | None, width: int | None) -> tuple[int, int, int]:
        """Shape of the latents of an image of this size in px, None for the model's own. Raises `ConfigError`."""
        channels, *sides = self._own_latent_shape()
        factor = self._pipe.vae_scale_factor
        multiple = factor * self.patch_size
        for axis, (option, side_px) in enumerate((("height", height), ("width", width))):
            if side_px is not None:
                fits = isinstance(side_px, int) and side_px >= multiple and side_px % multiple == 0
                require(fits, option, side_px, f"a multiple of {multiple} px")
                sides[axis] = side_px // factor
        return channels, sides[0], sides[1]

    def for_pipeline(self, noise: Tensor) -> Tensor:
        """Noise (B, C, h, w) as the pipeline takes `latents`."""
        return noise

    @abstractmethod
    def _run(self, latents: Tensor, timestep: float | Tensor, conditioning: Conditioning) -> Tensor:
        """One pass of the denoiser on latents (B, C, h, w) of its dtype; output of the same shape."""

    def _guided(self, latents: Tensor, timestep: float | Tensor, embedding: PromptEmbedding, guidance: float) -> Tensor:
        """The network's own kind of output: eps_uncond + guidance (eps_cond - eps_uncond)."""
        given, without = conditionings(embedding)
        if guidance == 1.0:
            return self._denoise(latents, timestep, given)
        if guidance == 0.0:
            return self._denoise(latents, timestep, without)
        if isinstance(timestep, Tensor) and timestep.ndim:
            timestep = timestep.repeat(2)
        both = {name: torch.cat([without[name], given[name]]) for name in given}
        uncond, cond = self._denoise(torch.cat([latents, latents]), timestep, both).chunk(2)
        return uncond + guidance * (cond - uncond)

    def _denoise(self, latents: Tensor, timestep: float | Tensor, conditioning: Conditioning) -> Tensor:
        self.num_evaluations += len(latents)
        return self._run(latents.to(self.dtype), timestep, conditioning).to(latents.dtype)

    def _make_schedule(self) -> DdimSchedule | FlowSchedule:
        return DdimSchedule(self._pipe.scheduler.config, self.aligned_timesteps)

    def _latents_to_a_patch(self) -> int:
        """Side of the patches that the network cuts latents into."""
        return self._network.config.patch_size

    def _own_latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents the network was made for."""
        config = self._network.config
        size = config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return config.in_channels, height, width

    def _check(self, pipe: Any) -> None:
        parts = (self.denoiser, "vae", *self.tokenizers, *self.text_encoders)
        missing = [name for name in parts if getattr(pipe, name) is None]
        if missing:
            raise ModelError(f"This {type(pipe).__name__} comes without {', '.join(missing)}: load it whole.")
