"""The world's denoiser: a UNet and its text encoder, trained together on precomputed latents."""

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from loop import Recipe, fit
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

RECIPE = Recipe(num_steps=8_000, batch_size=32, learning_rate=8e-4, warmup_steps=300, ema_decay=0.9985)
TEXT_WIDTH = 128
EMPTY_PROMPT_SHARE = 0.1
"""Share of captions replaced by the empty prompt, for classifier-free guidance."""


class Denoiser(nn.Module):
    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=TEXT_WIDTH,
                intermediate_size=4 * TEXT_WIDTH,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=tokenizer.model_max_length,
                projection_dim=TEXT_WIDTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        self.unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(48, 128, 144),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=16,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=4,
        )


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's own schedule, sampled from its last timestep on."""
    return DDIMScheduler(
        timestep_spacing="trailing",
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="epsilon",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )


def train(latents: Tensor, captions: list[str], tokenizer: CLIPTokenizer, folder: Path) -> Denoiser:
    """latents: (n, 4, 16, 16) of unit scale; captions: the prompt of each.

    Loss weight SNR^-1/2 (Yu et al., arXiv 2310.08442): composition is decided at high noise. Against min(SNR, 5) / SNR,
    600 steps each, the captions of 192 held-out scenes lower the error of x_0 at timesteps 700 to 900 twice as much.
    """
    torch.manual_seed(RECIPE.seed)
    model = Denoiser(tokenizer)
    tokens = _tokens(tokenizer, captions)
    empty = _tokens(tokenizer, [""])
    alpha_bar = scheduler().alphas_cumprod
    weight = ((1 - alpha_bar) / alpha_bar).sqrt()

    def loss_of(step: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
        rows = torch.randint(len(latents), (RECIPE.batch_size,), generator=generator)
        clean = latents[rows]
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(1000, (len(rows),), generator=generator)
        dropped = torch.rand(len(rows), generator=generator) < EMPTY_PROMPT_SHARE
        signal = alpha_bar[timesteps].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        prompts = model.text_encoder(torch.where(dropped[:, None], empty, tokens[rows])).last_hidden_state
        predicted = model.unet(noisy, timesteps, prompts).sample
        return (weight[timesteps] * F.mse_loss(predicted, noise, reduction="none").mean(dim=(1, 2, 3))).mean()

    fit("denoiser", model, RECIPE, loss_of, folder)
    return model


def _tokens(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    return tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
