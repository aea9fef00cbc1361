"""A Stable Diffusion pipeline's own components behind the `DiffusionModel` protocol."""

import copy
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from goldennoise.diffusion.ddim import DdimSchedule, at_least_float32
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.errors import ModelError

logger = logging.getLogger(__name__)

DETERMINISTIC = (
    "DDIMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)


class StableDiffusion:
    """A `DiffusionModel` on a `StableDiffusionPipeline`. Puts its networks in eval mode and freezes them.

    Same images as calling the pipeline with the same latents. Scales of 0 and 1 take one pass, all others two; the
    pipeline itself has no guidance below 1. `num_truncated` counts the prompts the text encoder could not take whole.
    """

    def __init__(
        self,
        pipe: Any,
        *,
        name: str,
        num_steps: int,
        guidance: float,
        negative_prompt: str = "",
        height: int | None = None,
        width: int | None = None,
    ) -> None:
        """height, width: of the image in px, None for the model's own. Raises `ModelError` for what it cannot run."""
        _check(pipe)
        for network in (pipe.unet, pipe.vae, pipe.text_encoder):
            network.eval().requires_grad_(False)
        self._pipe = pipe
        self._ddim = DdimSchedule(pipe.scheduler.config)
        self._negative_prompt = negative_prompt
        self.name = name
        self.num_steps = num_steps
        self.guidance = guidance
        size = pipe.unet.config.sample_size
        own_height, own_width = (size, size) if isinstance(size, int) else size
        factor = pipe.vae_scale_factor
        self.latent_shape: tuple[int, int, int] = (
            pipe.unet.config.in_channels,
            own_height if height is None else height // factor,
            own_width if width is None else width // factor,
        )
        self.device: torch.device = pipe.unet.device
        self.dtype: torch.dtype = pipe.unet.dtype
        self.num_evaluations = 0
        self.num_truncated = 0

    def encode(self, prompts: Sequence[str]) -> PromptEmbedding:
        cond = self._encode(prompts)
        return PromptEmbedding(cond, self._encode([self._negative_prompt]).expand_as(cond), {})

    def timesteps(self, num_steps: int) -> list[int]:
        return self._ddim.timesteps(num_steps)

    def predict(self, latents: Tensor, timestep: int, embedding: PromptEmbedding, guidance: float) -> Tensor:
        """Guided noise prediction, whatever the network predicts; shape and dtype of `latents` (B, C, h, w)."""
        wide = latents.to(at_least_float32(latents.dtype))
        output = self._guided(wide, timestep, embedding, guidance)
        return self._ddim.to_epsilon(output, wide, timestep).to(latents.dtype)

    def move(self, latents: Tensor, prediction: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        return self._ddim.move(latents, prediction, start, end, num_steps)

    def diffuse(self, latents: Tensor, noise: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        return self._ddim.diffuse(latents, noise, start, end, num_steps)

    def sample(
        self, noise: Tensor, embedding: PromptEmbedding, num_steps: int | None = None, guidance: float | None = None
    ) -> Tensor:
        num_steps = self.num_steps if num_steps is None else num_steps
        guidance = self.guidance if guidance is None else guidance
        self.timesteps(num_steps)  # raises where the scheduler would fail with a traceback
        # Multistep schedulers remember earlier steps: a copy keeps one call from leaking into the next.
        scheduler = copy.deepcopy(self._pipe.scheduler)
        scheduler.set_timesteps(num_steps, device=self.device)
        latents = noise.to(at_least_float32(noise.dtype)) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            output = self._guided(scheduler.scale_model_input(latents, timestep), timestep, embedding, guidance)
            latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
        return latents.to(noise.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        vae = self._pipe.vae
        scaled = latents.to(at_least_float32(latents.dtype)) / vae.config.scaling_factor
        shifted = scaled + (getattr(vae.config, "shift_factor", None) or 0.0)
        pixels = vae.decode(shifted.to(vae.dtype), return_dict=False)[0]
        return (pixels.float() / 2 + 0.5).clamp(0, 1)

    def _guided(self, latents: Tensor, timestep: int | Tensor, embedding: PromptEmbedding, guidance: float) -> Tensor:
        """The network's own kind of output: eps_uncond + guidance (eps_cond - eps_uncond)."""
        if guidance == 1.0:
            return self._denoise(latents, timestep, embedding.cond)
        if guidance == 0.0:
            return self._denoise(latents, timestep, embedding.uncond)
        text = torch.cat([embedding.uncond, embedding.cond])
        uncond, cond = self._denoise(torch.cat([latents, latents]), timestep, text).chunk(2)
        return uncond + guidance * (cond - uncond)

    def _denoise(self, latents: Tensor, timestep: int | Tensor, text: Tensor) -> Tensor:
        self.num_evaluations += len(latents)
        output = self._pipe.unet(latents.to(self.dtype), timestep, encoder_hidden_states=text, return_dict=False)[0]
        return output.to(latents.dtype)

    def _encode(self, prompts: Sequence[str]) -> Tensor:
        tokenizer = self._pipe.tokenizer
        texts = self._pipe.maybe_convert_prompt(list(prompts), tokenizer)
        num_tokens = tokenizer.model_max_length
        cut = [
            prompt for text, prompt in zip(texts, prompts, strict=True) if len(tokenizer(text).input_ids) > num_tokens
        ]
        if cut:
            self.num_truncated += len(cut)
            logger.warning(
                "%d of %d prompts are longer than the %d tokens %s reads; the rest is cut off, first in: %s",
                len(cut), len(prompts), num_tokens, self.name, cut[0],
            )  # fmt: skip
        tokens = tokenizer(texts, padding="max_length", max_length=num_tokens, truncation=True, return_tensors="pt")
        return self._pipe.text_encoder(tokens.input_ids.to(self.device))[0].to(self.dtype)


def _check(pipe: Any) -> None:
    scheduler = type(pipe.scheduler).__name__
    stochastic = str(pipe.scheduler.config.get("algorithm_type", "")).startswith("sde")
    if scheduler not in DETERMINISTIC or stochastic:
        raise ModelError(
            f"{scheduler} may draw noise of its own, so equal noise need not give "
            f"equal images: set the pipeline's scheduler to a deterministic one of {', '.join(DETERMINISTIC)}."
        )
    if pipe.unet.config.time_cond_proj_dim is not None:
        raise ModelError(
            "This UNet takes the guidance scale as an input (distilled); use a model guided by two passes."
        )
