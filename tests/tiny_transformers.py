"""Tiny random pipelines of the transformer families, built like those of `tiny`, without any file of a hub."""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    HunyuanDiT2DModel,
    HunyuanDiTPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)
from tiny import ALPHABET, TEXT_DIM, tiny_scheduler, tiny_vae
from transformers import BertConfig, BertModel, BertTokenizer, T5Config, T5EncoderModel, T5Tokenizer


def tiny_pixart_pipeline(seed: int = 0, *, learned_variance: bool = True, **scheduler: object) -> Any:
    """A `PixArtSigmaPipeline`: 4 x 8 x 8 latents, 32 x 32 px, 300 tokens of 16 numbers."""
    return _built(seed, lambda settings: _pixart(8 if learned_variance else 4, settings), scheduler)


def tiny_hunyuan_pipeline(seed: int = 0, *, early: bool = False, **scheduler: object) -> Any:
    """A `HunyuanDiTPipeline`: 4 x 8 x 8 latents, 64 x 64 px, 77 and 256 tokens of 16 numbers, predicts v.

    early: told the image's sizes and a style, as the versions before 1.2.
    """
    return _built(seed, lambda settings: _hunyuan(early, {"prediction_type": "v_prediction"} | settings), scheduler)


def _built(seed: int, make: Callable[[dict[str, object]], Any], scheduler: dict[str, object]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipe = make(scheduler)
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        # Freshly initialised, the text hardly reaches the output; guidance would then be tested on rounding errors.
        for name, weight in pipe.transformer.named_parameters():
            if "attn2" in name or "extra_embedder" in name:
                weight.mul_(2.0)
    return pipe


def _pixart(out_channels: int, scheduler: dict[str, object]) -> Any:
    return PixArtSigmaPipeline(
        tokenizer=tiny_t5_tokenizer(),
        text_encoder=tiny_t5(),
        vae=tiny_vae(),
        transformer=PixArtTransformer2DModel(
            sample_size=8,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            in_channels=4,
            out_channels=out_channels,
            caption_channels=TEXT_DIM,
            cross_attention_dim=16,
            use_additional_conditions=False,
        ).eval(),
        scheduler=tiny_scheduler(**scheduler),
    )


def _hunyuan(early: bool, scheduler: dict[str, object]) -> Any:
    tokenizer = BertTokenizer(
        vocab={token: number for number, token in enumerate(_TOKENS)}, model_max_length=77, do_lower_case=True
    )
    text_config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_DIM,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=77,
    )
    return HunyuanDiTPipeline(
        vae=tiny_vae_of_8(),
        text_encoder=BertModel(text_config).eval(),
        tokenizer=tokenizer,
        transformer=HunyuanDiT2DModel(
            sample_size=8,
            num_layers=2,
            patch_size=2,
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            hidden_size=16,
            mlp_ratio=1.0,
            activation_fn="gelu-approximate",
            cross_attention_dim=TEXT_DIM,
            cross_attention_dim_t5=TEXT_DIM,
            pooled_projection_dim=8,
            use_style_cond_and_image_meta_size=early,
        ).eval(),
        scheduler=tiny_scheduler(**scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=tiny_t5(),
        tokenizer_2=tiny_t5_tokenizer(),
    )


_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *ALPHABET, *("##" + letter for letter in ALPHABET)]


def tiny_t5_tokenizer() -> Any:
    """Every letter is a token, and so is the space before a word."""
    letters = [(letter, -2.0) for letter in ("\N{LOWER ONE EIGHTH BLOCK}", *ALPHABET)]
    return T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters], extra_ids=0)


def tiny_t5(width: int = TEXT_DIM) -> Any:
    config = T5Config(
        vocab_size=64, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return T5EncoderModel(config).eval()


def tiny_vae_of_8(**settings: Any) -> Any:
    """A VAE with 8 px to a latent, which Hunyuan-DiT takes for granted."""
    vae: Any = AutoencoderKL(
        block_out_channels=(4,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=2,
        **({"latent_channels": 4, "sample_size": 64, "scaling_factor": 0.13025} | settings),
    )
    return vae.eval()


TRANSFORMERS: dict[str, Callable[..., Any]] = {
    "pixart_sigma": tiny_pixart_pipeline,
    "hunyuan_dit": tiny_hunyuan_pipeline,
}
"""The families by their kind."""
