import logging
from typing import Any

import pytest
import torch
from tiny import tiny_xl_pipeline

from goldennoise.diffusion.families.latent_unet import StableDiffusionXL
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ModelError
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", ""]


def make_model(pipe: Any = None, **settings: Any) -> StableDiffusionXL:
    defaults: dict[str, Any] = {"name": "tiny", "num_steps": 4, "guidance": 3.0}
    return StableDiffusionXL(pipe or tiny_xl_pipeline(), **(defaults | settings))


@pytest.mark.parametrize("force_zeros", [True, False])
@pytest.mark.parametrize("negative", [None, "", "ugly"])
@torch.no_grad()
def test_prompts_are_encoded_as_by_the_pipeline(negative: str | None, force_zeros: bool) -> None:
    pipe = tiny_xl_pipeline(force_zeros=force_zeros)
    embedding = make_model(pipe, negative_prompt=negative).encode(PROMPTS)
    many = None if negative is None else [negative] * len(PROMPTS)
    cond, uncond, pooled, uncond_pooled = pipe.encode_prompt(PROMPTS, negative_prompt=many)
    assert cond.shape == (3, 77, 24)
    assert torch.equal(embedding.cond, cond)
    assert torch.equal(embedding.extra["pooled"], pooled)
    # One row, repeated, may be rounded otherwise than a batch of equal rows.
    torch.testing.assert_close(embedding.uncond, uncond, rtol=0, atol=1e-6)
    torch.testing.assert_close(embedding.extra["uncond_pooled"], uncond_pooled, rtol=0, atol=1e-6)
    assert bool(uncond.any()) is not (negative is None and force_zeros)


def test_rows_of_an_embedding_keep_their_pooled_part() -> None:
    embedding = make_model().encode(PROMPTS)
    twice = embedding[1:].repeat(2)
    assert torch.equal(twice.extra["pooled"], embedding.extra["pooled"][[1, 1, 2, 2]])
    assert twice.extra["uncond_pooled"].shape == (4, 12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_a_half_precision_model_stays_close_to_the_full_one(dtype: torch.dtype) -> None:
    full, half = make_model(), make_model(tiny_xl_pipeline().to(dtype))
    noise = gaussian_noise((4, 8, 8), range(3))
    latents, expected = (model.sample(SamplingPlan(noise), model.encode(PROMPTS)) for model in (half, full))
    assert latents.dtype == torch.float32
    assert (latents - expected).abs().mean() < 0.05 * expected.abs().mean()
    assert (half.decode(latents) - full.decode(expected)).abs().mean() < 0.1


@torch.no_grad()
def test_a_vae_that_overflows_in_float16_decodes_in_float32() -> None:
    pipe = tiny_xl_pipeline().to(torch.float16)
    model = make_model(pipe)
    latents = gaussian_noise((4, 8, 8), [0])
    images = model.decode(latents)
    assert pipe.vae.dtype == torch.float16
    pipe.vae.register_to_config(force_upcast=False)
    assert not torch.equal(images, make_model(pipe).decode(latents))
    pixels = pipe.vae.float().decode(latents / pipe.vae.config.scaling_factor).sample
    torch.testing.assert_close(images, (pixels / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-6)


def test_gradients_reach_the_noise_through_an_upcast_vae() -> None:
    model = make_model(tiny_xl_pipeline().to(torch.float16))
    noise = gaussian_noise((4, 8, 8), [0]).requires_grad_()
    model.decode(model.sample(SamplingPlan(noise, num_steps=1), model.encode(["a"]))).sum().backward()
    assert noise.grad is not None
    assert noise.grad.abs().max() > 0


def test_a_prompt_that_both_tokenizers_cut_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    model = make_model()
    with caplog.at_level(logging.WARNING):
        model.encode(["b" * 76, "short"])
    assert model.num_truncated == 1
    assert "1 of 2 prompts" in caplog.text


@pytest.mark.parametrize("tokenizer", ["tokenizer", "tokenizer_2"])
def test_a_prompt_that_one_tokenizer_takes_whole_does_not_count(
    tokenizer: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = tiny_xl_pipeline()
    getattr(pipe, tokenizer).model_max_length = 20
    model = make_model(pipe)
    with caplog.at_level(logging.WARNING):
        model._tokens(["b" * 30, "short"], {})
    assert model.num_truncated == 0
    assert "the rest is cut off" not in caplog.text
    with caplog.at_level(logging.WARNING):
        model._tokens(["b" * 90, "short"], {})
    assert model.num_truncated == 1
    assert "longer than the 77 tokens" in caplog.text


@pytest.mark.parametrize("component", ["text_encoder", "tokenizer", "text_encoder_2", "vae"])
def test_a_pipeline_without_one_of_its_parts_is_refused(component: str) -> None:
    pipe = tiny_xl_pipeline()
    setattr(pipe, component, None)
    with pytest.raises(ModelError, match=f"StableDiffusionXLPipeline comes without {component}: load it whole"):
        make_model(pipe)
