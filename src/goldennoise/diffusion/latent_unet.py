"""A Stable Diffusion pipeline's own components behind the `DiffusionModel` protocol."""

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from goldennoise.diffusion.base import PipelineConfig
from goldennoise.diffusion.ddim import DdimSchedule, at_least_float32
from goldennoise.diffusion.loading import load_pipeline
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.schedulers import check_deterministic, make_scheduler
from goldennoise.errors import ModelError

logger = logging.getLogger(__name__)

Condition = dict[str, Tensor]
"""What the UNet is told beside latents and timestep, each (B, ...): "text", and further inputs by the UNet's names."""


class LatentUNet(ABC):
    """A `DiffusionModel` on a pipeline with a UNet on VAE latents. Puts its networks in eval mode and freezes them.

    Same images as calling the pipeline with the same latents. Scales of 0 and 1 take one pass, all others two; the
    pipeline itself has no guidance below 1. `num_truncated` counts the prompts a text encoder could not take whole.
    """

    tokenizers: tuple[str, ...] = ("tokenizer",)
    text_encoders: tuple[str, ...] = ("text_encoder",)

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
    ) -> None:
        """height, width: of the image in px, None for the model's own. Raises `ModelError` for what it cannot run."""
        self._check(pipe)
        for network in ("unet", "vae", *self.text_encoders):
            getattr(pipe, network).eval().requires_grad_(False)
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

    @classmethod
    def load(
        cls, config: PipelineConfig, pipelines: Sequence[str], device: torch.device, variant: str | None = None
    ) -> Self:
        """The pipeline of a config, one of the classes named, on `device`. Raises `ModelError` if it cannot be had."""
        pipe = load_pipeline(config.path, config.revision, getattr(torch, config.dtype), pipelines, variant)
        pipe.scheduler = make_scheduler(config.scheduler, pipe.scheduler.config)
        folder = Path(config.path).expanduser()
        return cls(
            pipe.to(device),
            name=folder.resolve().name if folder.is_dir() else config.path,
            num_steps=config.num_steps,
            guidance=config.guidance,
            negative_prompt=config.negative_prompt,
            height=config.height,
            width=config.width,
        )

    @abstractmethod
    def encode(self, prompts: Sequence[str]) -> PromptEmbedding: ...

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
        # Here and not before: golden noise is also made for pipelines that sample on their own, such as LCM.
        check_deterministic(self._pipe.scheduler)
        self.timesteps(num_steps)  # raises where the scheduler would fail with a traceback
        # A scheduler remembers its steps: a copy leaves the pipeline, which may be sampling with its own, as it was.
        scheduler = copy.deepcopy(self._pipe.scheduler)
        scheduler.set_timesteps(num_steps, device=self.device)
        latents = noise.to(at_least_float32(noise.dtype)) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            output = self._guided(scheduler.scale_model_input(latents, timestep), timestep, embedding, guidance)
            latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
        return latents.to(noise.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        vae = self._decoder
        pixels = vae.decode(self._unscaled(latents).to(vae.dtype), return_dict=False)[0]
        return (pixels.float() / 2 + 0.5).clamp(0, 1)

    @property
    def _decoder(self) -> Any:
        """The VAE in the dtype it decodes in."""
        return self._pipe.vae

    def _unscaled(self, latents: Tensor) -> Tensor:
        """Latents as the VAE's encoder made them, at least float32."""
        return latents.to(at_least_float32(latents.dtype)) / self._pipe.vae.config.scaling_factor

    def _guided(self, latents: Tensor, timestep: int | Tensor, embedding: PromptEmbedding, guidance: float) -> Tensor:
        """The network's own kind of output: eps_uncond + guidance (eps_cond - eps_uncond)."""
        without, given = self._conditions(embedding, latents)
        if guidance == 1.0:
            return self._denoise(latents, timestep, given)
        if guidance == 0.0:
            return self._denoise(latents, timestep, without)
        both = {name: torch.cat([without[name], given[name]]) for name in given}
        uncond, cond = self._denoise(torch.cat([latents, latents]), timestep, both).chunk(2)
        return uncond + guidance * (cond - uncond)

    def _conditions(self, embedding: PromptEmbedding, latents: Tensor) -> tuple[Condition, Condition]:  # noqa: ARG002
        """For the pass without the prompt and for the one with it."""
        return {"text": embedding.uncond}, {"text": embedding.cond}

    def _denoise(self, latents: Tensor, timestep: int | Tensor, condition: Condition) -> Tensor:
        self.num_evaluations += len(latents)
        output = self._pipe.unet(
            latents.to(self.dtype),
            timestep,
            encoder_hidden_states=condition["text"],
            added_cond_kwargs={name: part for name, part in condition.items() if name != "text"},
            return_dict=False,
        )[0]
        return output.to(latents.dtype)

    def _tokens(self, prompts: Sequence[str]) -> list[Tensor]:
        """Token ids (B, tokens) of each tokenizer. A prompt cut by any of them counts once, with a warning."""
        ids: list[Tensor] = []
        cut: set[int] = set()
        tokenizers = [getattr(self._pipe, name) for name in self.tokenizers]
        for tokenizer in tokenizers:
            texts = self._pipe.maybe_convert_prompt(list(prompts), tokenizer)
            length = tokenizer.model_max_length
            cut |= {row for row, text in enumerate(texts) if len(tokenizer(text).input_ids) > length}
            tokens = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
            ids.append(tokens.input_ids.to(self.device))
        if cut:
            self.num_truncated += len(cut)
            logger.warning(
                "%d of %d prompts are longer than the %d tokens %s reads; the rest is cut off, first in: %s",
                len(cut), len(prompts), min(each.model_max_length for each in tokenizers), self.name,
                prompts[min(cut)],
            )  # fmt: skip
        return ids

    def _check(self, pipe: Any) -> None:
        missing = [
            name for name in ("unet", "vae", *self.tokenizers, *self.text_encoders) if getattr(pipe, name) is None
        ]
        if missing:
            raise ModelError(f"This {type(pipe).__name__} comes without {', '.join(missing)}: load it whole.")
        if pipe.unet.config.time_cond_proj_dim is not None:
            raise ModelError(
                "This UNet takes the guidance scale as an input (distilled); use a model guided by two passes."
            )


class StableDiffusion(LatentUNet):
    """Stable Diffusion 1.x and 2.x: the last hidden states of one CLIP encoder."""

    def encode(self, prompts: Sequence[str]) -> PromptEmbedding:
        cond = self._encode(prompts)
        return PromptEmbedding(cond, self._encode([self._negative_prompt or ""]).expand_as(cond), {})

    def _encode(self, prompts: Sequence[str]) -> Tensor:
        return self._pipe.text_encoder(*self._tokens(prompts))[0].to(self.dtype)


class StableDiffusionXL(LatentUNet):
    """SDXL: the penultimate hidden states of two CLIP encoders, the pooled output of the second, the image's size.

    `extra` of an embedding holds "pooled" and "uncond_pooled" (B, dim). The size is that of the latents at hand, so one
    embedding serves every size; original and target size are the image's, nothing is cropped, as in the pipeline.
    """

    tokenizers = ("tokenizer", "tokenizer_2")
    text_encoders = ("text_encoder", "text_encoder_2")

    def encode(self, prompts: Sequence[str]) -> PromptEmbedding:
        cond, pooled = self._encode(prompts)
        if self._negative_prompt is None and self._pipe.config.force_zeros_for_empty_prompt:
            uncond, uncond_pooled = torch.zeros_like(cond), torch.zeros_like(pooled)
        else:
            uncond, uncond_pooled = self._encode([self._negative_prompt or ""])
        return PromptEmbedding(
            cond, uncond.expand_as(cond), {"pooled": pooled, "uncond_pooled": uncond_pooled.expand_as(pooled)}
        )

    def _encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Hidden states (B, tokens, sum of both widths) and the pooled embedding (B, dim)."""
        first, second = (
            getattr(self._pipe, name)(tokens, output_hidden_states=True)
            for name, tokens in zip(self.text_encoders, self._tokens(prompts), strict=True)
        )
        text = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return text.to(self.dtype), second.text_embeds.to(self.dtype)

    def _conditions(self, embedding: PromptEmbedding, latents: Tensor) -> tuple[Condition, Condition]:
        without, given = super()._conditions(embedding, latents)
        size_px = [side * self._pipe.vae_scale_factor for side in latents.shape[-2:]]
        # Original size, top left corner of the crop, target size (arXiv 2307.01952, section 2.2).
        time_ids = torch.tensor([[*size_px, 0, 0, *size_px]], dtype=self.dtype, device=latents.device)
        time_ids = time_ids.expand(len(latents), -1)
        without |= {"text_embeds": embedding.extra["uncond_pooled"], "time_ids": time_ids}
        given |= {"text_embeds": embedding.extra["pooled"], "time_ids": time_ids}
        return without, given

    @cached_property
    def _decoder(self) -> Any:
        """One that overflows in float16 as a float32 copy, since the pipeline needs its own unchanged."""
        vae = self._pipe.vae
        return copy.deepcopy(vae).float() if vae.dtype == torch.float16 and vae.config.force_upcast else vae

    def _unscaled(self, latents: Tensor) -> Tensor:
        """With the statistics that some VAEs of the family normalise their latents by."""
        unscaled, config = super()._unscaled(latents), self._pipe.vae.config
        if config.get("latents_mean") is None or config.get("latents_std") is None:
            return unscaled
        mean, std = (
            torch.tensor(numbers).view(1, -1, 1, 1).to(unscaled)
            for numbers in (config.latents_mean, config.latents_std)
        )
        return unscaled * std + mean
