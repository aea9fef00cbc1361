"""Tiny stand-ins for a text-to-image model: random diffusers pipelines, and one in closed form without any network."""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import Features, SamplingPlan
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.sampling import walk
from goldennoise.diffusion.schedules.fixed import quantiles
from goldennoise.runtime.seeding import gaussian_noise

NUM_TOKENS, TEXT_DIM = 77, 16
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789.,'-!?"


def as_prompts(texts: Sequence[str]) -> list[Prompt]:
    return [Prompt.of(text) for text in texts]


# Any: diffusers imports lazily, and type checkers see placeholders without attributes where its classes are.
def tiny_scheduler(**overrides: object) -> Any:
    """The schedule of Stable Diffusion, which is also SDXL's, as a `DDIMScheduler`."""
    settings: dict[str, object] = {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "prediction_type": "epsilon",
    }
    return DDIMScheduler(**(settings | overrides))


def tiny_tokenizer(pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """Every letter is a token: 75 letters fit, what follows is cut."""
    letters = [*ALPHABET, *(letter + "</w>" for letter in ALPHABET)]
    vocabulary = {token: number for number, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary))
        Path(folder, "merges.txt").write_text("#version: 0.2\n")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=NUM_TOKENS, pad_token=pad)


def tiny_pipeline(seed: int = 0, time_cond_proj_dim: int | None = None, **scheduler: object) -> Any:
    """A `StableDiffusionPipeline` with random weights: 4 x 8 x 8 latents, 32 x 32 px, 77 tokens of 16 numbers.

    time_cond_proj_dim: of a UNet that takes guidance as an input. Other keyword arguments override the settings of the
    DDIM scheduler.
    """
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipe: Any = StableDiffusionPipeline(
            vae=tiny_vae(),
            text_encoder=CLIPTextModel(tiny_text_config(tokenizer, TEXT_DIM, num_layers=1)).eval(),
            tokenizer=tokenizer,
            unet=tiny_unet(time_cond_proj_dim=time_cond_proj_dim),
            scheduler=tiny_scheduler(**scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_xl_pipeline(
    seed: int = 0, time_cond_proj_dim: int | None = None, *, force_zeros: bool = True, **scheduler: object
) -> Any:
    """A `StableDiffusionXLPipeline` with random weights: 4 x 8 x 8 latents, 32 x 32 px, 77 tokens of 16 + 8 numbers.

    time_cond_proj_dim: of a UNet that takes guidance as an input. force_zeros: its rule for no negative prompt. Other
    keyword arguments override the settings of the DDIM scheduler.
    """
    tokenizer, second_dim, pooled_dim, time_dim = tiny_tokenizer(), 8, 12, 4
    second = tiny_text_config(tokenizer, second_dim, num_layers=2, projection_dim=pooled_dim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipe: Any = StableDiffusionXLPipeline(
            vae=tiny_vae(),
            text_encoder=CLIPTextModel(tiny_text_config(tokenizer, TEXT_DIM, num_layers=2)).eval(),
            text_encoder_2=CLIPTextModelWithProjection(second).eval(),
            tokenizer=tokenizer,
            tokenizer_2=tiny_tokenizer(pad="!"),  # as SDXL's: the two differ in nothing else
            unet=tiny_unet(
                time_cond_proj_dim=time_cond_proj_dim,
                cross_attention_dim=TEXT_DIM + second_dim,
                addition_embed_type="text_time",
                addition_time_embed_dim=time_dim,
                projection_class_embeddings_input_dim=pooled_dim + 6 * time_dim,
            ),
            scheduler=tiny_scheduler(**scheduler),
            force_zeros_for_empty_prompt=force_zeros,
            add_watermarker=False,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_text_config(tokenizer: Any, width: int, num_layers: int, projection_dim: int = TEXT_DIM) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        projection_dim=projection_dim,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        max_position_embeddings=NUM_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def tiny_unet(**overrides: Any) -> Any:
    settings: dict[str, Any] = {"cross_attention_dim": TEXT_DIM, "attention_head_dim": 2, "norm_num_groups": 2}
    unet: Any = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(4, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **(settings | overrides),
    )
    with torch.no_grad():
        # Freshly initialised, the text hardly reaches the output; guidance would then be tested on rounding errors.
        for name, weight in unet.named_parameters():
            if (
                "attn2" in name
                or name == "conv_out.weight"
                or name.startswith(("add_embedding", "time_embedding.cond"))
            ):
                weight.mul_(4.0)
    return unet.eval()


def tiny_vae() -> Any:
    vae: Any = AutoencoderKL(
        block_out_channels=(4, 4, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=32,
        scaling_factor=0.18215,
    )
    return vae.eval()


class TinyModel:
    """A `DiffusionModel` in closed form: deterministic, smooth, every row on its own, a function of the prompt.

    The alpha-bar of position i of n is cos^2 of an angle from 1.5 down to 0.1, its timestep round(999 (1 - i/n)).
    """

    def __init__(
        self,
        latent_shape: tuple[int, int, int] = (4, 8, 8),
        num_steps: int = 4,
        guidance: float = 3.0,
        name: str = "tiny",
    ) -> None:
        self.name = name
        self.num_steps = num_steps
        self.guidance = guidance
        self.latent_shape = latent_shape
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.num_evaluations = 0
        self.num_tokens, self.text_dim = 8, 6

    def run_with(self, compute: Any, device: torch.device) -> None: ...

    is_toned = False
    is_stochastic = False

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        return gaussian_noise(self.latent_shape, seeds).to(self.device, self.dtype)

    def encode(self, prompts: Sequence[str]) -> PromptEmbedding:
        cond = torch.stack([self._text(prompt) for prompt in prompts])
        return PromptEmbedding(cond, self._text("").expand_as(cond), {})

    def predict(
        self, latents: Tensor, position: int, embedding: PromptEmbedding, guidance: float, num_steps: int
    ) -> Tensor:
        passes = 1 if guidance in (0.0, 1.0) else 2
        self.num_evaluations += passes * len(latents)
        timestep = round(999 * (1 - position / num_steps))
        cond, uncond = (self._epsilon(latents, timestep, text) for text in (embedding.cond, embedding.uncond))
        return uncond + guidance * (cond - uncond)

    def move(self, latents: Tensor, prediction: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        here, there = self._alpha_bar(start, num_steps), self._alpha_bar(end, num_steps)
        clean = (latents - (1 - here) ** 0.5 * prediction) / here**0.5
        return there**0.5 * clean + (1 - there) ** 0.5 * prediction

    def alpha_bar_of_start(self) -> float:
        return self._alpha_bar(0, self.num_steps)

    def levels_of(self, timesteps: Sequence[float]) -> list[float]:
        return [*(timestep / 999 for timestep in timesteps), 0.0]

    def levels_by(self, density: Any, num_steps: int) -> list[float]:
        log_snrs = quantiles(density, torch.linspace(0.999, 0.001, 1000).double().numpy(), num_steps)
        return [*(1 - torch.from_numpy(log_snrs).sigmoid()).tolist(), 0.0]

    def levels(self, num_steps: int, latents: Tensor, spacing: str = "uniform") -> list[float]:  # noqa: ARG002
        return [1 - position / num_steps for position in range(num_steps + 1)]

    def predict_at(self, latents: Tensor, level: Tensor, embedding: PromptEmbedding, guidance: float) -> Tensor:
        rows = [
            self.predict(latents[i : i + 1], 1 - each, embedding[i : i + 1], guidance, 1)  # type: ignore[arg-type]
            for i, each in enumerate(level.tolist())
        ]
        return torch.cat(rows)

    def require_walked(self) -> None: ...

    @property
    def feature_width(self) -> int:
        return self.latent_shape[0]

    def predict_with_features(
        self, latents: Tensor, level: Tensor, embedding: PromptEmbedding, guidance: float
    ) -> tuple[Tensor, Features]:
        prediction = self.predict_at(latents, level, embedding, guidance)
        time = level.float()[:, None].expand(-1, self.feature_width)
        return prediction, Features(torch.cat([latents, prediction], dim=1).float(), time)

    def move_to(self, latents: Tensor, prediction: Tensor, here: Tensor, there: Tensor) -> Tensor:
        rows = [
            self.move(latents[i : i + 1], prediction[i : i + 1], 1 - start, 1 - end, 1)  # type: ignore[arg-type]
            for i, (start, end) in enumerate(zip(here.tolist(), there.tolist(), strict=True))
        ]
        return torch.cat(rows)

    def diffuse(self, latents: Tensor, noise: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        kept = self._alpha_bar(end, num_steps) / self._alpha_bar(start, num_steps)
        return kept**0.5 * latents + (1 - kept) ** 0.5 * noise

    def predicts_image(self, position: int, num_steps: int) -> bool:  # noqa: ARG002
        return False

    def sample(
        self,
        plan: SamplingPlan,
        embedding: PromptEmbedding,
        step_seeds: Sequence[int] | None = None,  # noqa: ARG002
    ) -> Tensor:
        num_steps = self.num_steps if plan.num_steps is None else plan.num_steps
        guidance = self.guidance if plan.guidance is None else plan.guidance
        if plan.schedule is not None:
            return walk(self, plan.noise, embedding, plan.schedule, guidance)
        latents = plan.noise
        for position in range(num_steps):
            prediction = self.predict(latents, position, embedding, guidance, num_steps)
            latents = self.move(latents, prediction, position, position + 1, num_steps)
        return latents

    def previews(
        self,
        noise: Tensor,
        embedding: PromptEmbedding,
        step_seeds: Sequence[int] | None = None,  # noqa: ARG002
    ) -> Iterator[Tensor]:
        latents, num_steps = noise, self.num_steps
        for position in range(num_steps):
            prediction = self.predict(latents, position, embedding, self.guidance, num_steps)
            latents = self.move(latents, prediction, position, position + 1, num_steps)
            yield self.move(latents, prediction, position + 1, num_steps, num_steps)

    def decode(self, latents: Tensor) -> Tensor:
        pixels = torch.sigmoid(latents[:, :3].float())
        return torch.nn.functional.interpolate(pixels, scale_factor=4.0, mode="nearest")

    def encode_images(self, images: Sequence[Tensor]) -> Tensor:
        pool = torch.nn.AdaptiveAvgPool2d(self.latent_shape[1:])
        pixels = torch.stack([pool(image) for image in images])
        return torch.cat([torch.logit(pixels, 1e-6), torch.zeros_like(pixels[:, :1])], dim=1)

    def _text(self, prompt: str) -> Tensor:
        seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:7], "big")
        return torch.randn(self.num_tokens, self.text_dim, generator=torch.Generator().manual_seed(seed))

    def _alpha_bar(self, position: int, num_steps: int) -> float:
        return math.cos(1.5 - 1.4 * position / num_steps) ** 2

    def _epsilon(self, latents: Tensor, timestep: int, text: Tensor) -> Tensor:
        num = latents[0].numel()
        grid = torch.arange(num * self.text_dim, dtype=latents.dtype, device=latents.device).reshape(self.text_dim, num)
        pattern = (text.mean(1).to(latents) @ torch.cos(grid)).reshape_as(latents)
        noisiness = math.sin(0.1 + 1.4 * timestep / 999)
        return noisiness * latents + 0.2 * torch.sin(latents + pattern + timestep / 500) + 0.2 * pattern
