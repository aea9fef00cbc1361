"""The recipe of the packaged denoiser, written out as a plain loop, gives the losses of the stage bit for bit."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from unit.training.denoiser.world import noise_as_latents, training_data, world

from goldennoise.data.shapes.locations import PIPELINE
from goldennoise.data.shapes.training_scenes import TRAINING, drawn_captions
from goldennoise.diffusion.noise_levels.uniform import Config as Uniform
from goldennoise.training.denoiser import fit
from goldennoise.training.denoiser.loss import NoiseLevelLoss
from goldennoise.training.denoiser.networks import begun
from goldennoise.training.denoiser.options import DenoiserOptions
from goldennoise.training.engine.trainer import Setting

NUM_STEPS, BATCH_SIZE, NUM_IMAGES, NUM_HELD_OUT = 8_000, 4, 60, 12
NUM_COMPARED = 20


class Networks(nn.Module):
    """The world's text encoder and UNet with new weights, in this order."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        tokens = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=3,
                num_attention_heads=4, max_position_embeddings=16, projection_dim=128, **tokens,
            )
        )  # fmt: skip
        self.unet = UNet2DConditionModel(
            sample_size=16, block_out_channels=(48, 128, 144), layers_per_block=1, norm_num_groups=16,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=128, attention_head_dim=4,
        )  # fmt: skip


def losses_of_the_recipe(latents: torch.Tensor, captions: list[str]) -> list[float]:
    tokenizer = CLIPTokenizer.from_pretrained(PIPELINE / "tokenizer")

    def tokens_of(texts: list[str]) -> torch.Tensor:
        return tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids

    torch.manual_seed(0)
    networks = Networks(tokenizer)
    tokens, empty = tokens_of(captions), tokens_of([""])
    alpha_bar = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).alphas_cumprod
    weight = ((1 - alpha_bar) / alpha_bar).sqrt()
    optimizer = torch.optim.AdamW(networks.parameters(), lr=8e-4, weight_decay=0.01)
    networks.train()
    losses = []
    for step in range(NUM_COMPARED):
        optimizer.param_groups[0]["lr"] = 8e-4 * min(1.0, (step + 1) / 300) * (1 - step / NUM_STEPS)
        generator = torch.Generator().manual_seed(step)
        rows = torch.randint(len(latents), (BATCH_SIZE,), generator=generator)
        noise = torch.randn(latents[rows].shape, generator=generator)
        timesteps = torch.randint(1000, (len(rows),), generator=generator)
        dropped = torch.rand(len(rows), generator=generator) < 0.1
        signal = alpha_bar[timesteps].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * latents[rows] + (1 - signal).sqrt() * noise
        prompts = networks.text_encoder(torch.where(dropped[:, None], empty, tokens[rows])).last_hidden_state
        predicted = networks.unet(noisy, timesteps, prompts).sample
        loss = (weight[timesteps] * F.mse_loss(predicted, noise, reduction="none").mean(dim=(1, 2, 3))).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_the_first_losses_are_those_of_a_plain_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    class Stopped(Exception):  # noqa: N818
        """After the steps that are compared."""

    class Watched(fit.DenoiserTraining):
        def on_train_batch_end(self, *_: object) -> None:
            super().on_train_batch_end()
            losses.append(self.step_loss.item())
            if len(losses) == NUM_COMPARED:
                raise Stopped

    monkeypatch.setattr(fit, "DenoiserTraining", Watched)
    model = world()
    data = training_data(model, tmp_path, NUM_IMAGES, NUM_HELD_OUT)
    options = DenoiserOptions(batch_size=BATCH_SIZE)
    denoiser = begun(model, options, seed=0)
    loss = NoiseLevelLoss(denoiser.model.alpha_bars, denoiser.prediction, Uniform(), options)
    with pytest.raises(Stopped):
        fit.train_denoiser(fit.Training(denoiser, loss, data, tmp_path, setting=Setting(progress_bar=False)))
    latents, captions = noise_as_latents(NUM_IMAGES), drawn_captions(TRAINING, NUM_IMAGES)
    training = NUM_IMAGES - NUM_HELD_OUT
    assert losses == losses_of_the_recipe(latents[:training], captions[:training])
