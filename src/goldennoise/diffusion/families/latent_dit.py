"""Diffusion transformers that predict noise or v on the noise schedules of the UNets: PixArt-Sigma, Hunyuan-DiT."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.embeddings import get_2d_rotary_pos_embed
from diffusers.pipelines.hunyuandit.pipeline_hunyuandit import get_resize_crop_region_for_grid
from torch import Tensor

from goldennoise.diffusion.conditioning import Conditioning, each_row
from goldennoise.diffusion.features import Taps
from goldennoise.diffusion.pipeline import LatentPipeline
from goldennoise.diffusion.text_options import TextOptions


class PixArtSigma(LatentPipeline):
    """PixArt-Sigma: the last hidden states of T5 and which of its tokens are text.

    The prompt is lowercased and stripped. The pipeline's `clean_caption` does more where two optional packages are
    installed and exactly this where they are not; noise must not depend on them.
    """

    denoiser = "transformer"
    taps = Taps("pos_embed", "proj_out", "adaln_single")
    text_options = ("max_sequence_length",)

    def _texts(self, prompts: Sequence[str], tokenizer: Any) -> list[str]:  # noqa: ARG002
        return [prompt.lower().strip() for prompt in prompts]

    def _encode(self, prompts: Sequence[str], options: TextOptions) -> Conditioning:
        (tokens,) = self._tokens(prompts, options, [options.get("max_sequence_length", 300)])
        text = self._pipe.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        return {"text": text.to(self.dtype), "mask": tokens.attention_mask}

    def _run(self, latents: Tensor, timestep: float | Tensor, conditioning: Conditioning) -> Tensor:
        output = self._network(
            latents,
            encoder_hidden_states=conditioning["text"],
            encoder_attention_mask=conditioning["mask"],
            timestep=each_row(timestep, latents),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0]
        return output[:, : latents.shape[1]]  # what follows is the learned variance, which no sampler here uses


class HunyuanDiT(LatentPipeline):
    """Hunyuan-DiT: the last hidden states of a bilingual CLIP and of mT5, and which of their tokens are text.

    The sizes an early version is told besides are those the pipeline tells: made from 1024 x 1024 px, cropped nowhere.
    """

    denoiser = "transformer"
    taps = Taps("pos_embed", "proj_out", "time_extra_emb")
    tokenizers = ("tokenizer", "tokenizer_2")
    text_encoders = ("text_encoder", "text_encoder_2")

    def _encode(self, prompts: Sequence[str], options: TextOptions) -> Conditioning:
        clip, t5 = self._tokens(prompts, options, (77, 256))
        text, text_t5 = (
            getattr(self._pipe, name)(tokens.input_ids, attention_mask=tokens.attention_mask)[0].to(self.dtype)
            for name, tokens in zip(self.text_encoders, (clip, t5), strict=True)
        )
        return {"text": text, "mask": clip.attention_mask, "text_t5": text_t5, "mask_t5": t5.attention_mask}

    def _run(self, latents: Tensor, timestep: float | Tensor, conditioning: Conditioning) -> Tensor:
        size_px = [side * self._pipe.vae_scale_factor for side in latents.shape[-2:]]
        sizes = torch.tensor([[1024, 1024, *size_px, 0, 0]], dtype=latents.dtype, device=latents.device)
        output = self._network(
            latents,
            each_row(timestep, latents).to(latents.dtype),
            encoder_hidden_states=conditioning["text"],
            text_embedding_mask=conditioning["mask"],
            # The network takes a view of it, and a negative prompt is one row repeated.
            encoder_hidden_states_t5=conditioning["text_t5"].contiguous(),
            text_embedding_mask_t5=conditioning["mask_t5"],
            image_meta_size=sizes.repeat(len(latents), 1),
            style=torch.zeros(len(latents), dtype=torch.long, device=latents.device),
            image_rotary_emb=self._positions(latents),
            return_dict=False,
        )[0]
        return output[:, : latents.shape[1]]  # what follows is the learned variance, which no sampler here uses

    def _positions(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary embedding of the patches: a grid of any size laid over that of 512 px, as in training."""
        patch = self._network.config.patch_size
        grid = (latents.shape[-2] // patch, latents.shape[-1] // patch)
        region = get_resize_crop_region_for_grid(grid, 512 // 8 // patch)
        head_dim = self._network.inner_dim // self._network.num_heads
        return get_2d_rotary_pos_embed(head_dim, region, grid, device=latents.device, output_type="pt")
