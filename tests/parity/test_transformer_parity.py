"""The transformer families against the diffusers pipelines themselves, with the same latents: images within 1e-4.

The pipelines' resolution binning is off: latents that are given decide the size.
"""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from tiny_flows import BY_RESOLUTION, FLOWS, tiny_flux_pipeline, tiny_sana_pipeline, tiny_sd3_pipeline
from tiny_transformers import TRANSFORMERS, tiny_hunyuan_pipeline, tiny_pixart_pipeline

from goldennoise.diffusion import families
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.runtime.seeding import gaussian_noise

FAMILIES = TRANSFORMERS | FLOWS
PROMPTS = ["a red circle", "  Two BLUE squares", "a green ring above a star"]


@cache
def shared(kind: str) -> Any:
    """One pipeline for all tests that do not change it."""
    return FAMILIES[kind]()


def assert_same_images(
    pipe: Any, num_steps: int, guidance: float, model: DiffusionModel | None = None, **arguments: Any
) -> None:
    """Keyword arguments go to the pipeline."""
    model = model or from_pipeline(pipe)
    noise = gaussian_noise(model.latent_shape, range(len(PROMPTS)))
    height, width = (side * pipe.vae_scale_factor for side in noise.shape[-2:])
    if "use_resolution_binning" in inspect.signature(type(pipe).__call__).parameters:
        arguments["use_resolution_binning"] = False
    expected = pipe(
        PROMPTS,
        latents=pipe._pack_latents(noise, *noise.shape) if type(pipe).__name__ == "FluxPipeline" else noise,
        height=height,
        width=width,
        num_inference_steps=num_steps,
        guidance_scale=guidance,
        output_type="pt",
        **arguments,
    ).images
    with torch.no_grad():
        images = model.decode(
            model.sample(SamplingPlan(noise, guidance=guidance, num_steps=num_steps), model.encode(PROMPTS))
        )
    assert expected.std() > 0.05
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize(("num_steps", "guidance"), [(1, 4.5), (5, 1.0), (5, 1.5), (7, 5.5)])
def test_guidance_and_steps(kind: str, num_steps: int, guidance: float) -> None:
    assert_same_images(shared(kind), num_steps, guidance)


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_another_size_and_a_negative_prompt_from_a_folder(kind: str, tmp_path: Path) -> None:
    pipe, component = TRANSFORMERS[kind](), families.component(kind)
    pipe.save_pretrained(tmp_path)
    pipe.scheduler = DPMSolverMultistepScheduler.from_pretrained(tmp_path / "scheduler")
    height, width = 12 * pipe.vae_scale_factor, 16 * pipe.vae_scale_factor
    config = component.Config(
        path=str(tmp_path), height=height, width=width, negative_prompt="  Ugly, BLURRED", scheduler="dpmpp_2m"
    )
    model = component.build(config, torch.device("cpu"))
    assert model.latent_shape == (4, 12, 16)
    negative = ["  Ugly, BLURRED"] * len(PROMPTS)
    assert_same_images(pipe, 4, 3.0, model, negative_prompt=negative)


def test_a_network_without_learned_variance() -> None:
    assert_same_images(tiny_pixart_pipeline(learned_variance=False), 3, 3.0)


def test_an_early_hunyuan_is_told_sizes_and_style() -> None:
    assert_same_images(tiny_hunyuan_pipeline(early=True), 3, 3.0)


@pytest.mark.parametrize("kind", FLOWS)
def test_another_size_of_a_flow_from_a_folder(kind: str, tmp_path: Path) -> None:
    """Where resolution shifts the schedule, that of the latents at hand does."""
    pipe, component = FLOWS[kind](**({} if kind == "sana" else BY_RESOLUTION)), families.component(kind)
    pipe.save_pretrained(tmp_path)
    height, width = 16 * pipe.vae_scale_factor, 32 * pipe.vae_scale_factor
    negative: dict[str, Any] = {} if kind == "flux" else {"negative_prompt": "  Ugly, BLURRED"}
    config = component.Config(path=str(tmp_path), height=height, width=width, scheduler="flow_euler", **negative)
    model = component.build(config, torch.device("cpu"))
    assert model.latent_shape == (4, 16, 32)
    many = {name: [text] * len(PROMPTS) for name, text in negative.items()}
    assert_same_images(pipe, 4, 3.0, model, **many)


@pytest.mark.parametrize(
    "settings", [{"shift": 1.0}, BY_RESOLUTION, {"shift_terminal": 0.1}, {"use_karras_sigmas": True}]
)
def test_settings_of_the_schedule_of_sd3(settings: dict[str, Any]) -> None:
    assert_same_images(tiny_sd3_pipeline(**settings), 4, 3.0)


def test_sd3_without_t5(tmp_path: Path) -> None:
    pipe = tiny_sd3_pipeline()
    pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    assert_same_images(pipe, 4, 3.0)
    pipe.save_pretrained(tmp_path)
    family = families.component("stable_diffusion_3")
    config = family.Config(path=str(tmp_path), num_steps=4)
    model = family.build(config, torch.device("cpu"))
    assert model.encode(PROMPTS).cond.shape[1] == 77 + 256


def test_flux_without_guidance_and_with_fewer_tokens(tmp_path: Path) -> None:
    pipe, component = tiny_flux_pipeline(distilled=True), families.component("flux")
    pipe.save_pretrained(tmp_path)
    config = component.Config(path=str(tmp_path), guidance=0.0, height=32, width=32, max_sequence_length=256)
    model = component.build(config, torch.device("cpu"))
    assert model.encode(PROMPTS).cond.shape == (3, 256, 16)
    assert_same_images(pipe, 4, 0.0, model, max_sequence_length=256)


def test_sana_with_the_sampler_of_its_authors(tmp_path: Path) -> None:
    pipe, component = tiny_sana_pipeline(), families.component("sana")
    pipe.save_pretrained(tmp_path)
    model = component.build(component.Config(path=str(tmp_path)), torch.device("cpu"))
    pipe.scheduler = DPMSolverMultistepScheduler(
        use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"
    )
    assert_same_images(pipe, 6, 3.0, model)
    assert_same_images(pipe, 6, 3.0)
