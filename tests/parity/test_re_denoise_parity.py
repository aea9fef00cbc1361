"""Our re-denoise against diffusers' `DDIMScheduler` and `DDIMInverseScheduler`: within 1e-10, in float64.

The inverse scheduler's `step(prediction, t, sample)` goes up *to* timestep t, from one interval below it. So the
interval that the forward scheduler left at t is inverted by passing that same t, not the timestep reached.
A velocity is turned into noise here, at the timestep that the network was asked for, and both schedulers step by noise:
the inverse scheduler itself would take it for one at the level below, and a network of velocities would then give other
golden noise than the same network of noises.
In float64, because a chain of guided evaluations multiplies the rounding errors of float32 by a few hundred.
"""

from typing import Any

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from diffusers.models.embeddings import get_2d_rotary_pos_embed
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_transformers import tiny_hunyuan_pipeline, tiny_pixart_pipeline
from torch import Tensor

from goldennoise import diffusion
from goldennoise.diffusion.re_denoise import re_denoise
from goldennoise.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a star"]
DOWN, UP = 5.5, 1.0


def guided(pipe: Any, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
    cond, uncond = PASSES[type(pipe).__name__](pipe, latents, timestep)
    output = uncond + guidance * (cond - uncond)
    if pipe.scheduler.config.prediction_type == "epsilon":
        return output
    alpha_bar = pipe.scheduler.alphas_cumprod[timestep].double()
    return alpha_bar.sqrt() * output + (1 - alpha_bar).sqrt() * latents


def unet_passes(pipe: Any, latents: Tensor, timestep: Tensor) -> list[Tensor]:
    """Output with the prompt and without it, as the pipeline asks for them."""
    encoded = pipe.encode_prompt(PROMPTS, device=pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=True)
    sides: list[dict[str, Any]] = [{"encoder_hidden_states": text} for text in encoded[:2]]
    for side, pooled in zip(sides, encoded[2:], strict=False):  # SDXL alone has pooled embeddings
        time_ids = torch.tensor([[32.0, 32.0, 0.0, 0.0, 32.0, 32.0]] * len(PROMPTS), dtype=torch.float64)
        side["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": time_ids}
    return [pipe.unet(latents, timestep, **side).sample for side in sides]


def pixart_passes(pipe: Any, latents: Tensor, timestep: Tensor) -> list[Tensor]:
    cond, mask, uncond, uncond_mask = pipe.encode_prompt(PROMPTS, True)
    sizes = {"resolution": None, "aspect_ratio": None}
    return [
        pipe.transformer(
            latents,
            encoder_hidden_states=text,
            encoder_attention_mask=which,
            timestep=timestep.expand(len(latents)),
            added_cond_kwargs=sizes,
        ).sample.chunk(2, dim=1)[0]
        for text, which in ((cond, mask), (uncond, uncond_mask))
    ]


def hunyuan_passes(pipe: Any, latents: Tensor, timestep: Tensor) -> list[Tensor]:
    clip, t5 = (pipe.encode_prompt(PROMPTS, text_encoder_index=index) for index in (0, 1))
    # 64 px are a grid of 4 x 4 patches; one of 512 px has 32 x 32, over which it is laid.
    rotary = get_2d_rotary_pos_embed(8, ((0, 0), (32, 32)), (4, 4), output_type="pt")
    return [
        pipe.transformer(
            latents,
            timestep.expand(len(latents)).double(),
            encoder_hidden_states=clip[side],
            text_embedding_mask=clip[side + 2],
            encoder_hidden_states_t5=t5[side],
            text_embedding_mask_t5=t5[side + 2],
            image_rotary_emb=rotary,
            return_dict=False,
        )[0].chunk(2, dim=1)[0]
        for side in (0, 1)
    ]


PASSES = {
    "StableDiffusionPipeline": unet_passes,
    "StableDiffusionXLPipeline": unet_passes,
    "PixArtSigmaPipeline": pixart_passes,
    "HunyuanDiTPipeline": hunyuan_passes,
}


@torch.no_grad()
def reference(pipe: Any, noise: Tensor, num_steps: int, depth: int, num_rounds: int, shift: int) -> Tensor:
    forward, inverse = (
        scheduler.from_config(pipe.scheduler.config, prediction_type="epsilon")
        for scheduler in (DDIMScheduler, DDIMInverseScheduler)
    )
    for scheduler in (forward, inverse):
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    forward.final_alpha_cumprod = forward.final_alpha_cumprod.double()
    inverse.initial_alpha_cumprod = inverse.initial_alpha_cumprod.double()
    forward.set_timesteps(num_steps)
    inverse.set_timesteps(num_steps)
    assert inverse.timesteps.tolist() == forward.timesteps.tolist()[::-1]
    timesteps = forward.timesteps
    latents = noise
    for _ in range(num_rounds):
        for timestep in timesteps[:depth]:
            latents = forward.step(guided(pipe, latents, timestep, DOWN), timestep, latents).prev_sample
        for position in reversed(range(depth)):
            prediction = guided(pipe, latents, timesteps[position], UP)
            latents = inverse.step(prediction, timesteps[position + shift], latents).prev_sample
    return latents


@pytest.mark.parametrize(
    ("num_steps", "depth", "num_rounds"), [(10, 1, 1), (10, 3, 1), (10, 10, 1), (50, 2, 2), (4, 1, 3), (7, 7, 1)]
)
@pytest.mark.parametrize("settings", [{}, {"set_alpha_to_one": True}, {"timestep_spacing": "trailing"}])
def test_exact(num_steps: int, depth: int, num_rounds: int, settings: dict[str, Any]) -> None:
    if settings.get("timestep_spacing") == "trailing" and 1000 % num_steps:
        pytest.skip("diffusers steps by 1000 // num_steps, which is not the distance of rounded trailing timesteps")
    check(tiny_pipeline(**settings), num_steps, depth, num_rounds, "exact")


@pytest.mark.parametrize(("num_steps", "depth", "num_rounds"), [(10, 1, 1), (10, 3, 2)])
def test_exact_on_sdxl(num_steps: int, depth: int, num_rounds: int) -> None:
    check(tiny_xl_pipeline(), num_steps, depth, num_rounds, "exact")


@pytest.mark.parametrize("pipeline", [tiny_pipeline, tiny_xl_pipeline])
@pytest.mark.parametrize(("num_steps", "depth", "num_rounds"), [(10, 1, 1), (10, 3, 2)])
def test_exact_on_velocities(pipeline: Any, num_steps: int, depth: int, num_rounds: int) -> None:
    check(pipeline(prediction_type="v_prediction"), num_steps, depth, num_rounds, "exact")


@pytest.mark.parametrize("pipeline", [tiny_pixart_pipeline, tiny_hunyuan_pipeline])
@pytest.mark.parametrize(("num_steps", "depth", "num_rounds"), [(10, 1, 1), (10, 3, 2)])
def test_exact_on_transformers(pipeline: Any, num_steps: int, depth: int, num_rounds: int) -> None:
    check(pipeline(), num_steps, depth, num_rounds, "exact")


@pytest.mark.parametrize(("num_steps", "depth", "num_rounds"), [(10, 1, 1), (50, 1, 1), (4, 1, 1), (10, 2, 2)])
def test_published(num_steps: int, depth: int, num_rounds: int) -> None:
    check(tiny_pipeline(), num_steps, depth, num_rounds, "published")


def check(pipe: Any, num_steps: int, depth: int, num_rounds: int, variant: str) -> None:
    pipe = pipe.to(torch.float64)
    noise = gaussian_noise((4, 8, 8), range(len(PROMPTS))).double()
    expected = reference(pipe, noise, num_steps, depth, num_rounds, shift=int(variant == "published"))
    model = diffusion.from_pipeline(pipe)
    with torch.no_grad():
        golden = re_denoise(
            model,
            noise,
            model.encode(PROMPTS),
            denoise_guidance=DOWN,
            invert_guidance=UP,
            num_steps=num_steps,
            depth=depth,
            num_rounds=num_rounds,
            variant=variant,
        )
    assert (golden - noise).abs().mean() > 1e-2
    torch.testing.assert_close(golden, expected, rtol=0, atol=1e-10)
