"""Our re-denoise against diffusers' `DDIMScheduler` and `DDIMInverseScheduler`: within 1e-10, in float64.

The inverse scheduler's `step(prediction, t, sample)` goes up *to* timestep t, from one interval below it. So the
interval that the forward scheduler left at t is inverted by passing that same t, not the timestep reached.
A velocity is turned into noise here, at the timestep that the network was asked for, and both schedulers step by noise:
the inverse scheduler itself would take it for one at the level below, and a network of velocities would then give other
golden noise than the same network of noises.
Along a flow, where diffusers has no inverse scheduler, against the closed form on the levels of its own scheduler.
In float64, because a chain of guided evaluations multiplies the rounding errors of float32 by a few hundred.
"""

import copy
import inspect
from functools import cache, wraps
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, SanaPipeline
from diffusers.models.embeddings import get_2d_rotary_pos_embed
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_flows import FLOWS
from tiny_transformers import tiny_hunyuan_pipeline, tiny_pixart_pipeline
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.re_denoise import re_denoise
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a star"]
DOWN, UP = 5.5, 1.0
INSTRUCTION = tuple(inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default)


class Doubles(TorchFunctionMode):
    """What casts to float32 casts to float64.

    Hunyuan-DiT normalizes and rotates in float32, where values that differ by 1e-16 may be rounded to either side.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.float:
            return args[0].double()
        doubled = {torch.float32: torch.float64}
        args = [doubled.get(arg, arg) if isinstance(arg, torch.dtype) else arg for arg in args]
        kwargs = {key: doubled.get(arg, arg) if key == "dtype" else arg for key, arg in (kwargs or {}).items()}
        return function(*args, **kwargs)


def in_doubles(network: nn.Module) -> None:
    forward = network.forward

    @wraps(forward)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with Doubles():
            return forward(*args, **kwargs)

    network.forward = wrapped


@cache
def encoded(pipe: Any, **arguments: Any) -> Any:
    """The prompts, once for each pipeline."""
    return pipe.encode_prompt(PROMPTS, **arguments)


def guided(pipe: Any, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
    if type(pipe).__name__ == "FluxPipeline":
        return flux_guided(pipe, latents, timestep, guidance)
    cond, uncond = PASSES[type(pipe).__name__](pipe, latents, timestep)
    output = uncond + guidance * (cond - uncond)
    if pipe.scheduler.config.get("prediction_type", "flow") in ("epsilon", "flow"):
        return output
    alpha_bar = pipe.scheduler.alphas_cumprod[timestep].double()
    return alpha_bar.sqrt() * output + (1 - alpha_bar).sqrt() * latents


def unet_passes(pipe: Any, latents: Tensor, timestep: Tensor) -> list[Tensor]:
    """Output with the prompt and without it, as the pipeline asks for them."""
    texts = encoded(pipe, device=pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=True)
    sides: list[dict[str, Any]] = [{"encoder_hidden_states": text} for text in texts[:2]]
    for side, pooled in zip(sides, texts[2:], strict=False):  # SDXL alone has pooled embeddings
        time_ids = torch.tensor([[32.0, 32.0, 0.0, 0.0, 32.0, 32.0]] * len(PROMPTS), dtype=torch.float64)
        side["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": time_ids}
    return [pipe.unet(latents, timestep, **side).sample for side in sides]


def pixart_passes(pipe: Any, latents: Tensor, timestep: Tensor) -> list[Tensor]:
    cond, mask, uncond, uncond_mask = encoded(pipe)
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
    clip, t5 = (encoded(pipe, text_encoder_index=index) for index in (0, 1))
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


def sd3_passes(pipe: Any, latents: Tensor, timestep: Tensor) -> list[Tensor]:
    texts = encoded(pipe, prompt_2=None, prompt_3=None)
    return [
        pipe.transformer(
            hidden_states=latents,
            timestep=timestep.expand(len(latents)),
            encoder_hidden_states=texts[side],
            pooled_projections=texts[side + 2],
        ).sample
        for side in (0, 1)
    ]


def sana_passes(pipe: Any, latents: Tensor, timestep: Tensor) -> list[Tensor]:
    cond, mask, uncond, uncond_mask = encoded(pipe, complex_human_instruction=INSTRUCTION)
    return [
        pipe.transformer(
            latents,
            encoder_hidden_states=text,
            encoder_attention_mask=which,
            timestep=timestep.expand(len(latents)) * pipe.transformer.config.timestep_scale,
        ).sample
        for text, which in ((cond, mask), (uncond, uncond_mask))
    ]


def flux_guided(pipe: Any, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
    text, pooled, text_places = encoded(pipe)
    num, channels, height, width = latents.shape
    output = pipe.transformer(
        hidden_states=pipe._pack_latents(latents, num, channels, height, width),
        timestep=timestep.expand(num) / 1000,
        guidance=torch.full((num,), guidance),
        pooled_projections=pooled,
        encoder_hidden_states=text,
        txt_ids=text_places,
        img_ids=pipe._prepare_latent_image_ids(num, height // 2, width // 2, "cpu", torch.float64),
    ).sample
    factor = pipe.vae_scale_factor
    return pipe._unpack_latents(output, height * factor, width * factor, factor)


PASSES = {
    "StableDiffusionPipeline": unet_passes,
    "StableDiffusionXLPipeline": unet_passes,
    "PixArtSigmaPipeline": pixart_passes,
    "HunyuanDiTPipeline": hunyuan_passes,
    "StableDiffusion3Pipeline": sd3_passes,
    "SanaPipeline": sana_passes,
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


@torch.no_grad()
def flow_reference(pipe: Any, noise: Tensor, num_steps: int, depth: int, num_rounds: int, shift: int) -> Tensor:
    scheduler = copy.deepcopy(pipe.scheduler)
    if type(pipe).__name__ == "FluxPipeline":
        # 16 patches of 2 x 2 latents, between those of 4 and of 64.
        scheduler.set_timesteps(sigmas=[1 - step / num_steps for step in range(num_steps)], mu=0.5 + 0.65 * 12 / 60)
    else:
        scheduler.set_timesteps(num_steps)
    timesteps, sigmas = scheduler.timesteps, scheduler.sigmas.double()
    latents = noise
    for _ in range(num_rounds):
        for step in range(depth):
            latents = latents + (sigmas[step + 1] - sigmas[step]) * guided(pipe, latents, timesteps[step], DOWN)
        for step in reversed(range(depth)):
            velocity = guided(pipe, latents, timesteps[step], UP)
            latents = latents - (sigmas[step + 1 + shift] - sigmas[step + shift]) * velocity
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


@pytest.mark.parametrize("pipeline", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize(
    ("num_steps", "depth", "num_rounds", "variant"), [(10, 1, 1, "exact"), (4, 4, 2, "exact"), (10, 1, 1, "published")]
)
def test_along_a_flow(pipeline: Any, num_steps: int, depth: int, num_rounds: int, variant: str) -> None:
    check(pipeline(), num_steps, depth, num_rounds, variant)


@pytest.mark.parametrize(("num_steps", "depth", "num_rounds"), [(10, 1, 1), (50, 1, 1), (4, 1, 1), (10, 2, 2)])
def test_published(num_steps: int, depth: int, num_rounds: int) -> None:
    check(tiny_pipeline(), num_steps, depth, num_rounds, "published")


ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@torch.no_grad()
def zero_snr_reference(pipe: Any, noise: Tensor, num_steps: int, depth: int, num_rounds: int) -> Tensor:
    """From pure noise the image is -v, up to it the noise is what the image -v leaves; in between noises, as ever."""
    timesteps = [999 - step * 1000 // num_steps for step in range(num_steps)]
    alpha_bars = [float(pipe.scheduler.alphas_cumprod[timestep]) for timestep in timesteps]
    assert alpha_bars[0] == 0
    latents = noise
    for _ in range(num_rounds):
        for step, (here, there) in enumerate(pairwise(alpha_bars[: depth + 1])):
            cond, uncond = unet_passes(pipe, latents, torch.tensor(timesteps[step]))
            velocity = uncond + DOWN * (cond - uncond)
            image = here**0.5 * latents - (1 - here) ** 0.5 * velocity
            epsilon = here**0.5 * velocity + (1 - here) ** 0.5 * latents
            latents = there**0.5 * image + (1 - there) ** 0.5 * epsilon
        for step, (there, here) in reversed(list(enumerate(pairwise(alpha_bars[: depth + 1])))):
            velocity = unet_passes(pipe, latents, torch.tensor(timesteps[step]))[0]
            if there == 0:
                latents = (latents + here**0.5 * velocity) / (1 - here) ** 0.5
                continue
            epsilon = there**0.5 * velocity + (1 - there) ** 0.5 * latents
            image = (latents - (1 - here) ** 0.5 * epsilon) / here**0.5
            latents = there**0.5 * image + (1 - there) ** 0.5 * epsilon
    return latents


@pytest.mark.parametrize("pipeline", [tiny_pipeline, tiny_xl_pipeline])
@pytest.mark.parametrize(("num_steps", "depth", "num_rounds"), [(10, 1, 1), (4, 3, 2)])
@torch.no_grad()
def test_from_pure_noise_and_back(pipeline: Any, num_steps: int, depth: int, num_rounds: int) -> None:
    pipe = pipeline(**ZERO_SNR).to(torch.float64)
    model = from_pipeline(pipe)
    noise = gaussian_noise(model.latent_shape, range(len(PROMPTS))).double()
    settings: dict[str, Any] = {"num_steps": num_steps, "depth": depth, "num_rounds": num_rounds}
    golden, weaker = (
        re_denoise(model, noise, model.encode(PROMPTS), denoise_guidance=down, invert_guidance=UP, **settings)
        for down in (DOWN, 2.0)
    )
    torch.testing.assert_close(golden, zero_snr_reference(pipe, noise, **settings), rtol=0, atol=1e-10)
    if depth == 1:  # a random network of velocities has no reason to keep the norm over more
        assert golden.std().item() == pytest.approx(1, abs=0.1)
    assert (golden - weaker).abs().mean() > 1e-3


def check(pipe: Any, num_steps: int, depth: int, num_rounds: int, variant: str) -> None:
    pipe = pipe.to(torch.float64)
    if type(pipe).__name__ == "HunyuanDiTPipeline":
        in_doubles(pipe.transformer)
    model = from_pipeline(pipe)
    noise = gaussian_noise(model.latent_shape, range(len(PROMPTS))).double()
    directly = reference if hasattr(pipe.scheduler, "alphas_cumprod") else flow_reference
    with torch.no_grad():
        expected = directly(pipe, noise, num_steps, depth, num_rounds, shift=int(variant == "published"))
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
    assert (golden - noise).abs().mean() > 1e-3
    torch.testing.assert_close(golden, expected, rtol=0, atol=1e-10)
