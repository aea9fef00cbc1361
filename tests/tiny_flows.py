"""Tiny random pipelines of the flow-matching families, built like those of `tiny`, without any file of a hub."""

from itertools import product
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from tiny import ALPHABET, TEXT_DIM, tiny_text_config, tiny_tokenizer, tiny_vae
from tiny_transformers import tiny_t5, tiny_t5_tokenizer
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
)

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
BY_RESOLUTION: dict[str, Any] = {
    "use_dynamic_shifting": True,
    "base_image_seq_len": 4,
    "max_image_seq_len": 64,
    "base_shift": 0.5,
    "max_shift": 1.15,
}
"""A schedule shifted as that of FLUX.1 dev, between images of 4 and of 64 patches."""


def tiny_sd3_pipeline(seed: int = 0, **scheduler: Any) -> Any:
    """A `StableDiffusion3Pipeline`: 4 x 8 x 8 latents, 32 x 32 px, 77 + 256 tokens of 32 numbers, shift 3.

    Keyword arguments override the settings of the scheduler.
    """
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipe: Any = StableDiffusion3Pipeline(
            transformer=SD3Transformer2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=4,
                out_channels=4,
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=32,
                caption_projection_dim=32,
                pooled_projection_dim=24,
                pos_embed_max_size=16,
            ).eval(),
            scheduler=FlowMatchEulerDiscreteScheduler(**({"shift": 3.0} | scheduler)),
            vae=_shifted_vae(),
            text_encoder=CLIPTextModelWithProjection(tiny_text_config(tokenizer, TEXT_DIM, 2, 12)).eval(),
            tokenizer=tokenizer,
            text_encoder_2=CLIPTextModelWithProjection(tiny_text_config(tokenizer, 8, 2, 12)).eval(),
            tokenizer_2=tiny_tokenizer(pad="!"),
            text_encoder_3=tiny_t5(32),
            tokenizer_3=tiny_t5_tokenizer(),
        )
    return _quiet(pipe)


def tiny_flux_pipeline(seed: int = 0, *, distilled: bool = False, **scheduler: Any) -> Any:
    """A `FluxPipeline`: 4 x 8 x 8 latents, 32 x 32 px, 512 tokens of 16 numbers, shifted by resolution.

    distilled: without the input for guidance and without any shift, as schnell. Keyword arguments override the
    settings of the scheduler.
    """
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipe: Any = FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(**(({} if distilled else BY_RESOLUTION) | scheduler)),
            vae=_shifted_vae(),
            text_encoder=CLIPTextModel(tiny_text_config(tokenizer, TEXT_DIM, 1)).eval(),
            tokenizer=tokenizer,
            text_encoder_2=tiny_t5(),
            tokenizer_2=tiny_t5_tokenizer(),
            transformer=FluxTransformer2DModel(
                patch_size=1,
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=TEXT_DIM,
                pooled_projection_dim=TEXT_DIM,
                guidance_embeds=not distilled,
                axes_dims_rope=(4, 4, 8),
            ).eval(),
        )
    pipe.default_sample_size = 8  # latents to a side, which the class fixes at 128
    return _quiet(pipe)


def tiny_sana_pipeline(seed: int = 0, **scheduler: Any) -> Any:
    """A `SanaPipeline`: 4 x 16 x 16 latents, 32 x 32 px, 300 tokens of 16 numbers, shift 3.

    Keyword arguments override the settings of the scheduler.
    """
    letters = ALPHABET[:26]
    pairs = list(product(letters, letters))  # the instruction before every prompt would be long letter by letter
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", SPACE, *ALPHABET, *letters.upper(), *map("".join, pairs)]
    tokenizer = GemmaTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=pairs, add_bos_token=True
    )
    text_config = Gemma2Config(
        vocab_size=len(tokens),
        hidden_size=TEXT_DIM,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=4096,
    )
    blocks: dict[str, Any] = {
        f"{side}_{name}": part
        for side in ("encoder", "decoder")
        for name, part in {
            "block_types": ("ResBlock", "EfficientViTBlock"),
            "block_out_channels": (8, 8),
            "qkv_multiscales": ((), (5,)),
            "layers_per_block": (1, 1),
        }.items()
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipe: Any = SanaPipeline(
            tokenizer=tokenizer,
            text_encoder=Gemma2Model(text_config).eval(),
            vae=AutoencoderDC(
                in_channels=3,
                latent_channels=4,
                attention_head_dim=2,
                downsample_block_type="conv",
                upsample_block_type="interpolate",
                decoder_norm_types="rms_norm",
                decoder_act_fns="silu",
                scaling_factor=0.41407,
                **blocks,
            ).eval(),
            transformer=SanaTransformer2DModel(
                patch_size=1,
                in_channels=4,
                out_channels=4,
                num_layers=1,
                num_attention_heads=2,
                attention_head_dim=8,
                num_cross_attention_heads=2,
                cross_attention_head_dim=8,
                cross_attention_dim=16,
                caption_channels=TEXT_DIM,
                sample_size=16,
                timestep_scale=0.5,
            ).eval(),
            scheduler=FlowMatchEulerDiscreteScheduler(**({"shift": 3.0} | scheduler)),
        )
    with torch.no_grad():
        # Freshly initialised, the text hardly reaches the output; guidance would then be tested on rounding errors.
        for name, weight in pipe.transformer.named_parameters():
            if "attn2" in name:
                weight.mul_(3.0)
    return _quiet(pipe)


def _shifted_vae() -> Any:
    vae = tiny_vae()
    vae.register_to_config(scaling_factor=1.5305, shift_factor=0.0609)
    return vae


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


FLOWS = {"stable_diffusion_3": tiny_sd3_pipeline, "flux": tiny_flux_pipeline, "sana": tiny_sana_pipeline}
"""The families by their kind."""
