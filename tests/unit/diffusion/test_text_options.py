"""`golden(pipe, prompt, prompt_2=..., clip_skip=...)` reads what `pipe(prompt, prompt_2=..., clip_skip=...)` reads."""

import inspect
from typing import Any

import pytest
import torch
from diffusers import SanaPipeline
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_flows import tiny_sd3_pipeline
from transformers import CLIPTextModel
from unit.diffusion.families.test_families import FAMILIES, shared
from unit.test_api import ARCHITECTURE, _generator, _network

from goldennoise import GoldenNoise, re_denoise
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.re_denoise import re_denoise as re_denoise_model
from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares"]
OTHERS = ["a dark star", "many rings"]
SAMPLED: dict[str, Any] = {"denoise_guidance": 5.5, "invert_guidance": 1.0, "num_steps": 2}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("stable_diffusion", {"clip_skip": 1}),
    ("stable_diffusion_xl", {"prompt_2": OTHERS}),
    ("stable_diffusion_xl", {"clip_skip": 1}),
    ("stable_diffusion_xl", {"negative_prompt_2": "a bright picture"}),
    ("pixart_sigma", {"max_sequence_length": 40}),
    ("stable_diffusion_3", {"prompt_2": OTHERS}),
    ("stable_diffusion_3", {"prompt_3": OTHERS}),
    ("stable_diffusion_3", {"clip_skip": 1}),
    ("stable_diffusion_3", {"max_sequence_length": 40}),
    ("stable_diffusion_3", {"negative_prompt_2": "a bright picture"}),
    ("stable_diffusion_3", {"negative_prompt_3": "a bright picture"}),
    ("flux", {"prompt_2": OTHERS}),
    ("flux", {"max_sequence_length": 40}),
    ("sana", {"max_sequence_length": 40}),
    ("sana", {"complex_human_instruction": ["say what is meant:", "in short, "]}),
    ("sana", {"complex_human_instruction": None, "max_sequence_length": 20}),
]
"""Every option of every family that takes any."""
NEGATIVE = "a dark picture"


def encoded(pipe: Any, kind: str, options: dict[str, Any]) -> PromptEmbedding:
    """What the pipeline itself makes of the prompts."""
    if kind == "flux":
        text, pooled, _ = pipe.encode_prompt(PROMPTS, **options)
        return PromptEmbedding(text, text, {"pooled": pooled, "uncond_pooled": pooled})
    arguments = {"negative_prompt": [NEGATIVE] * len(PROMPTS)} | options
    if kind == "stable_diffusion":
        arguments |= {"device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": True}
    elif kind == "stable_diffusion_3":
        arguments = {"prompt_2": None, "prompt_3": None} | arguments
    elif kind == "sana":
        name = "complex_human_instruction"
        arguments = {name: inspect.signature(SanaPipeline.__call__).parameters[name].default} | arguments
    with pytest.MonkeyPatch.context() as patch:
        if kind == "stable_diffusion" and not hasattr(pipe.text_encoder, "text_model"):
            # For clip_skip diffusers looks where some versions of transformers have the norm and others do not.
            patch.setattr(CLIPTextModel, "text_model", property(lambda encoder: encoder), raising=False)
        first, second, *rest = pipe.encode_prompt(PROMPTS, **arguments)
    if kind in ("pixart_sigma", "sana"):
        return PromptEmbedding(first, rest[0], {"mask": second, "uncond_mask": rest[1]})
    return PromptEmbedding(first, second, dict(zip(("pooled", "uncond_pooled"), rest, strict=False)))


def negative_of(kind: str) -> str | None:
    return None if kind == "flux" else NEGATIVE


@pytest.mark.parametrize(("kind", "options"), CASES, ids=lambda case: case if isinstance(case, str) else "+".join(case))
@torch.no_grad()
def test_the_options_of_the_pipeline_reach_the_golden_noise(kind: str, options: dict[str, Any]) -> None:
    pipe, negative = shared(kind), negative_of(kind)
    model = from_pipeline(pipe, negative)
    source = gaussian_noise(model.latent_shape, range(2))
    expected, plain = encoded(pipe, kind, options), encoded(pipe, kind, {})
    of_negative = all(name.startswith("negative_") for name in options)
    assert expected.cond.shape != plain.cond.shape or not torch.equal(
        *((expected.uncond, plain.uncond) if of_negative else (expected.cond, plain.cond))
    )
    golden = re_denoise(pipe, PROMPTS, latents=source, num_steps=2, negative_prompt=negative, **options)
    found = re_denoise_model(model, source, expected, **SAMPLED)
    torch.testing.assert_close(golden, model.for_pipeline(found), rtol=0, atol=1e-5)
    if not of_negative:
        network = _network(NPNetConfig(model.latent_shape, *expected.cond.shape[1:], ARCHITECTURE)).eval()
        golden = GoldenNoise(network)(pipe, PROMPTS, latents=source, **options)
        torch.testing.assert_close(golden, model.for_pipeline(network(source, expected.cond)), rtol=0, atol=1e-5)


def test_every_option_is_tested() -> None:
    tested = {kind: {name for of_kind, options in CASES if of_kind == kind for name in options} for kind in FAMILIES}
    assert tested == {kind: set(from_pipeline(shared(kind)).text_options) for kind in FAMILIES}


@torch.no_grad()
def test_texts_for_encoders_that_sd3_goes_without_change_nothing() -> None:
    pipe = tiny_sd3_pipeline()
    pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    source = gaussian_noise((4, 8, 8), range(2))
    plain, other = (re_denoise(pipe, PROMPTS, latents=source, prompt_3=text) for text in (None, OTHERS))
    assert torch.equal(plain, other)
    expected = encoded(pipe, "stable_diffusion_3", {"max_sequence_length": 40})
    golden = re_denoise(pipe, PROMPTS, source, num_steps=2, negative_prompt=NEGATIVE, max_sequence_length=40)
    found = re_denoise_model(from_pipeline(pipe, NEGATIVE), source, expected, **SAMPLED)
    torch.testing.assert_close(golden, found, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"clip_skip": None}, {"prompt_2": None}, {"prompt_2": ""}, {"negative_prompt_2": None}, {"prompt_2": []}],
)
def test_what_the_pipeline_takes_for_not_given_is_not_given(options: dict[str, Any]) -> None:
    pipe, source = shared("stable_diffusion_xl"), gaussian_noise((4, 8, 8), range(2))
    assert torch.equal(re_denoise(pipe, PROMPTS, source, **options), re_denoise(pipe, PROMPTS, source))


TAKEN = {
    "stable_diffusion": "clip_skip",
    "stable_diffusion_xl": "prompt_2, clip_skip, negative_prompt_2",
    "hunyuan_dit": "none",
    "flux": "prompt_2, max_sequence_length",
}


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.parametrize("name", ["prompt_embeds", "cross_attention_kwargs", "promt_2"])
def test_any_other_option_is_refused_by_its_name(kind: str, name: str) -> None:
    generator = _generator()
    with pytest.raises(ConfigError, match=f"^re_denoise takes no {name}: .* own options it takes {TAKEN[kind]}$"):
        re_denoise(shared(kind), PROMPTS, generator=generator, **{name: "x"})
    taken = TAKEN[kind].removesuffix(", negative_prompt_2")
    with pytest.raises(ConfigError, match=f"^GoldenNoise takes no {name}: .* own options it takes {taken}$"):
        GoldenNoise(_network())(shared(kind), PROMPTS, generator=generator, **{name: "x"})
    assert torch.equal(generator.get_state(), _generator().get_state())


@pytest.mark.parametrize("name", ["negative_prompt", "negative_prompt_2"])
def test_a_network_reads_no_negative_prompt(name: str) -> None:
    with pytest.raises(ConfigError, match=f"GoldenNoise takes no {name}: "):
        GoldenNoise(_network())(shared("stable_diffusion_xl"), PROMPTS, **{name: "dark"})


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("stable_diffusion_xl", {"prompt_2": "one"}, "prompt_2 must be one text for each of the 2 prompts"),
        ("stable_diffusion_xl", {"prompt_2": ["one", 2]}, "prompt_2 must be one text for each of the 2 prompts"),
        ("stable_diffusion_xl", {"prompt_2": 2}, "prompt_2 must be one text for each of the 2 prompts"),
        (
            "stable_diffusion_xl",
            {"negative_prompt_2": ["a", "b"]},
            "negative_prompt_2 must be one text for all",
        ),
        ("stable_diffusion", {"clip_skip": 2}, "clip_skip=2: clip_skip must be between 0 and 1"),
        ("stable_diffusion_xl", {"clip_skip": 2}, "clip_skip=2: clip_skip must be between 0 and 1"),
        ("stable_diffusion", {"clip_skip": -1}, "clip_skip must be None or a whole number, at least 0"),
        (
            "stable_diffusion",
            {"clip_skip": True},
            "clip_skip=True: clip_skip must be None or a whole number",
        ),
        ("flux", {"max_sequence_length": 0}, "max_sequence_length must be None or a whole number, at least 1"),
        ("sana", {"complex_human_instruction": "say"}, "complex_human_instruction must be a list of texts, or None"),
    ],
)
def test_a_value_that_the_pipeline_cannot_take_is_refused(kind: str, options: dict[str, Any], message: str) -> None:
    generator = _generator()
    with pytest.raises(ConfigError, match=message) as caught:
        re_denoise(shared(kind), PROMPTS, generator=generator, **options)
    assert "\n" not in str(caught.value)
    assert torch.equal(generator.get_state(), _generator().get_state())


def test_one_prompt_takes_one_other_text() -> None:
    pipe, source = shared("stable_diffusion_xl"), gaussian_noise((4, 8, 8), [0])
    alone, listed = (re_denoise(pipe, "a ring", source, prompt_2=text) for text in ("a star", ["a star"]))
    assert torch.equal(alone, listed)
    assert not torch.equal(alone, re_denoise(pipe, "a ring", source))


def test_an_unet_distilled_with_guidance_skips_layers_too() -> None:
    pipe, source = tiny_pipeline(time_cond_proj_dim=7), gaussian_noise((4, 8, 8), [0])
    assert not torch.equal(re_denoise(pipe, "a ring", source, clip_skip=1), re_denoise(pipe, "a ring", source))
    with pytest.raises(ModelError, match="takes guidance as an input, so a negative prompt does nothing"):
        re_denoise(tiny_xl_pipeline(time_cond_proj_dim=7), "a ring", negative_prompt_2="dark")
