"""FLUX.1: a flow-matching transformer that takes the scale of guidance as an input, or none at all."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from goldennoise.diffusion.conditioning import Conditioning, each_row
from goldennoise.diffusion.families.latent_flow import LatentFlow
from goldennoise.diffusion.features import Taps
from goldennoise.diffusion.pipeline import steered
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.schedules.flow import FlowSchedule
from goldennoise.diffusion.text_options import TextOptions

logger = logging.getLogger(__name__)

PATCH = 2
"""Latents to a side of a patch: the pipeline packs patches into tokens, the network has none of its own."""


class Flux(LatentFlow):
    """FLUX.1 dev and schnell: the last hidden states of T5, the pooled output of CLIP. One pass whatever the scale.

    There is no negative prompt, so `uncond` of an embedding is `cond`. Noise and latents are (B, 16, h, w) here and
    packed into (B, h/2 w/2, 64) for the network alone.
    """

    taps = Taps("x_embedder", "proj_out", "time_text_embed")
    tokenizers = ("tokenizer", "tokenizer_2")
    text_encoders = ("text_encoder", "text_encoder_2")
    text_options = ("prompt_2", "max_sequence_length")

    def __init__(self, pipe: Any, *, max_sequence_length: int = 512, **settings: Any) -> None:
        """max_sequence_length: tokens of T5; the other arguments are those of every `LatentPipeline`."""
        self._max_sequence_length = max_sequence_length
        self._ignored: set[float] = set()
        super().__init__(pipe, **settings)

    def _encode(self, prompts: Sequence[str], options: TextOptions) -> Conditioning:
        length = options.get("max_sequence_length", self._max_sequence_length)
        clip, t5 = self._tokens(prompts, options, (77, length))
        text = self._pipe.text_encoder_2(t5.input_ids)[0]
        pooled = self._pipe.text_encoder(clip.input_ids).pooler_output
        return {"text": text.to(self.dtype), "pooled": pooled.to(self.dtype)}

    def _encode_negative(self, given: Conditioning, options: TextOptions) -> Conditioning:  # noqa: ARG002
        if self._negative_prompt:
            raise self._no_negative_prompt()
        return given

    def _texts(self, prompts: Sequence[str], tokenizer: Any) -> list[str]:
        # Pipelines with ControlNet know no textual inversion.
        convert = getattr(self._pipe, "maybe_convert_prompt", None)
        return list(prompts) if convert is None else convert(list(prompts), tokenizer)

    def _guided(self, latents: Tensor, timestep: float | Tensor, embedding: PromptEmbedding, guidance: float) -> Tensor:
        conditioning = {"text": embedding.cond, "pooled": embedding.extra["pooled"]}
        if self._network.config.guidance_embeds:
            conditioning["guidance"] = torch.full((len(latents),), guidance, device=latents.device)
        elif guidance not in {self.guidance, *self._ignored}:
            self._ignored.add(guidance)
            logger.warning("%s takes no guidance, so a scale of %s changes nothing", self.name, guidance)
        return self._denoise(latents, timestep, conditioning)

    def _run(self, latents: Tensor, timestep: float | Tensor, conditioning: Conditioning) -> Tensor:
        if self._network.config.get("encoder_hid_dim_type") == "ip_image_proj":
            raise steered(self._network, "the image of an IP-Adapter")
        height, width = (side // PATCH for side in latents.shape[-2:])
        rows, columns = torch.arange(height), torch.arange(width)
        places = torch.cartesian_prod(torch.zeros(1, dtype=torch.long), rows, columns)
        output = self._network(
            hidden_states=self.for_pipeline(latents),
            timestep=each_row(timestep, latents).to(latents.dtype) / 1000,  # rounded as in the pipeline
            guidance=conditioning.get("guidance"),
            pooled_projections=conditioning["pooled"],
            encoder_hidden_states=conditioning["text"],
            txt_ids=latents.new_zeros(conditioning["text"].shape[1], 3),
            img_ids=places.to(latents),
            return_dict=False,
        )[0]
        patches = output.unflatten(2, (-1, PATCH, PATCH)).unflatten(1, (height, width))
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(latents.shape)

    def for_pipeline(self, noise: Tensor) -> Tensor:
        """Noise (B, C, h, w) as the pipeline takes `latents`: patches packed into tokens (B, h/2 w/2, 4 C)."""
        patches = noise.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH))
        return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def _make_schedule(self) -> FlowSchedule:
        return FlowSchedule(self._pipe.scheduler, self.patch_size, uniform=True)

    def _latents_to_a_patch(self) -> int:
        return PATCH

    def _own_latent_shape(self) -> tuple[int, int, int]:
        side = self._pipe.default_sample_size
        return self._network.config.in_channels // PATCH**2, side, side
