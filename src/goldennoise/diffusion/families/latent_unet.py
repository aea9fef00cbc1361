"""Stable Diffusion's UNets on VAE latents."""

import copy
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from diffusers.schedulers import AysSchedules
from torch import Tensor

from goldennoise.diffusion.conditioning import Conditioning, conditionings
from goldennoise.diffusion.features import Taps
from goldennoise.diffusion.latent_texts import hidden_states
from goldennoise.diffusion.pipeline import LatentPipeline, steered
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.text_options import TextOptions


class LatentUNet(LatentPipeline):
    """A pipeline whose denoiser is a UNet; one distilled with guidance, such as LCM's, takes its scale as an input."""

    denoiser = "unet"
    taps = Taps("conv_in", "conv_out", "time_proj")

    def _latents_to_a_patch(self) -> int:
        return 1

    def _own_latent_shape(self) -> tuple[int, int, int]:
        # A UNet made for inpainting takes the mask and the masked image as further channels.
        return self._pipe.vae.config.latent_channels, *super()._own_latent_shape()[1:]

    def _run(self, latents: Tensor, timestep: float | Tensor, conditioning: Conditioning) -> Tensor:
        config = self._network.config
        if config.in_channels != latents.shape[1] or config.encoder_hid_dim_type == "ip_image_proj":
            needed = "a mask" if config.in_channels != latents.shape[1] else "the image of an IP-Adapter"
            raise steered(self._network, needed)
        return self._network(
            latents,
            timestep,
            encoder_hidden_states=conditioning["text"],
            timestep_cond=conditioning.get("guidance"),
            added_cond_kwargs=self._added(latents, conditioning),
            return_dict=False,
        )[0]

    @property
    def pipeline(self) -> Any:
        """The diffusers pipeline behind it."""
        return self._pipe

    @property
    def alpha_bars(self) -> Tensor:
        """Of the timesteps of training, float32 (T,)."""
        return self._pipe.scheduler.alphas_cumprod

    @property
    def zeros_without_prompt(self) -> bool:
        """Whether the pass without a prompt is told zeros, and no empty prompt."""
        return False

    def token_ids(self, prompts: Sequence[str]) -> list[Tensor]:
        """(B, tokens) of each tokenizer; prompts that are too long are cut and counted."""
        return [tokens.input_ids for tokens in self._tokens(prompts, {})]

    @abstractmethod
    def conditioning(self, token_ids: Sequence[Tensor], options: TextOptions | None = None) -> Conditioning:
        """What tokens (B, tokens) of each tokenizer tell the UNet, with gradients where they are on."""

    def output(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The UNet's output (B, C, h, w) at a timestep, whole or not, of each row, (B,); with gradients."""
        return self._run(latents, timesteps, conditioning)

    def _encode(self, prompts: Sequence[str], options: TextOptions) -> Conditioning:
        return self.conditioning([tokens.input_ids for tokens in self._tokens(prompts, options)], options)

    def _added(self, latents: Tensor, conditioning: Conditioning) -> Conditioning:  # noqa: ARG002
        """Further inputs by the UNet's names, each (B, ...)."""
        return {}

    def _texts(self, prompts: Sequence[str], tokenizer: Any) -> list[str]:
        return self._pipe.maybe_convert_prompt(list(prompts), tokenizer)

    def _guided(self, latents: Tensor, timestep: float | Tensor, embedding: PromptEmbedding, guidance: float) -> Tensor:
        width = self._network.config.time_cond_proj_dim
        if width is None:
            return super()._guided(latents, timestep, embedding, guidance)
        scales = torch.full((len(latents),), guidance - 1)
        scale = self._pipe.get_guidance_scale_embedding(scales, embedding_dim=width).to(latents.device, self.dtype)
        return self._denoise(latents, timestep, conditionings(embedding)[0] | {"guidance": scale})

    def _encode_negative(self, given: Conditioning, options: TextOptions) -> Conditioning:
        if self._network.config.time_cond_proj_dim is None:
            return super()._encode_negative(given, options)
        if self._negative_prompt or "prompt_2" in options:
            raise self._no_negative_prompt()
        return given


class StableDiffusion(LatentUNet):
    """Stable Diffusion 1.x and 2.x: the last hidden states of one CLIP encoder."""

    text_options = ("clip_skip",)
    aligned_timesteps = AysSchedules["StableDiffusionTimesteps"]

    def conditioning(self, token_ids: Sequence[Tensor], options: TextOptions | None = None) -> Conditioning:
        (ids,), encoder = token_ids, self._pipe.text_encoder
        if options is None or "clip_skip" not in options:
            return {"text": encoder(ids)[0].to(self.dtype)}
        text = hidden_states(encoder(ids, output_hidden_states=True), options["clip_skip"], last=-1)
        # Where the norm stands depends on the version of transformers.
        return {"text": getattr(encoder, "text_model", encoder).final_layer_norm(text).to(self.dtype)}


class StableDiffusionXL(LatentUNet):
    """SDXL: the penultimate hidden states of two CLIP encoders, the pooled output of the second, the image's size.

    The size is that of the latents at hand, so one embedding serves every size; original and target size are the
    image's, nothing is cropped, as in the pipeline.
    """

    tokenizers = ("tokenizer", "tokenizer_2")
    text_encoders = ("text_encoder", "text_encoder_2")
    text_options = ("prompt_2", "clip_skip", "negative_prompt_2")
    aligned_timesteps = AysSchedules["StableDiffusionXLTimesteps"]

    @property
    def zeros_without_prompt(self) -> bool:
        distilled = self._network.config.time_cond_proj_dim is not None
        return not distilled and self._negative_prompt is None and self._pipe.config.force_zeros_for_empty_prompt

    def conditioning(self, token_ids: Sequence[Tensor], options: TextOptions | None = None) -> Conditioning:
        """Hidden states (B, tokens, sum of both widths) and the pooled embedding (B, dim)."""
        first, second = (
            getattr(self._pipe, name)(ids, output_hidden_states=True)
            for name, ids in zip(self.text_encoders, token_ids, strict=True)
        )
        skip = (options or {}).get("clip_skip", 0)
        text = torch.cat([hidden_states(output, skip, last=-2) for output in (first, second)], dim=-1)
        return {"text": text.to(self.dtype), "pooled": second.text_embeds.to(self.dtype)}

    def _encode_negative(self, given: Conditioning, options: TextOptions) -> Conditioning:
        if self.zeros_without_prompt:
            return {name: torch.zeros_like(part) for name, part in given.items()}
        return super()._encode_negative(given, options)

    def _added(self, latents: Tensor, conditioning: Conditioning) -> Conditioning:
        size_px = [side * self._pipe.vae_scale_factor for side in latents.shape[-2:]]
        # Original size, top left corner of the crop, target size (arXiv 2307.01952, section 2.2).
        time_ids = torch.tensor([[*size_px, 0, 0, *size_px]], dtype=self.dtype, device=latents.device)
        return {"text_embeds": conditioning["pooled"], "time_ids": time_ids.expand(len(latents), -1)}

    @cached_property
    def _vae(self) -> Any:
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
