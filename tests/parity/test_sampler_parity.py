"""Our samplers against the diffusers pipelines themselves, with the same latents: images within 1e-4."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from tiny import tiny_pipeline, tiny_xl_pipeline

from goldennoise.diffusion import families
from goldennoise.diffusion.families.latent_unet import StableDiffusion, StableDiffusionXL
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import ModelError
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a green ring above a star"]
FAMILIES: dict[str, Callable[..., Any]] = {"stable_diffusion": tiny_pipeline, "stable_diffusion_xl": tiny_xl_pipeline}
SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "heun": (HeunDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "lcm": (LCMScheduler, {}),
}


def assert_same_images(
    pipe: Any, num_steps: int, guidance: float, model: DiffusionModel | None = None, timesteps: list[int] | None = None
) -> None:
    noise = gaussian_noise((4, 8, 8), range(len(PROMPTS)))
    seeds = [7, 8, 9]
    arguments = {"num_inference_steps": num_steps, "guidance_scale": guidance, "output_type": "pt"}
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    expected = pipe(PROMPTS, latents=noise, generator=generators, timesteps=timesteps, **arguments).images
    model = model or from_pipeline(pipe)
    with torch.no_grad():
        images = model.decode(
            model.sample(SamplingPlan(noise, guidance=guidance, num_steps=num_steps), model.encode(PROMPTS), seeds)
        )
    assert expected.std() > 0.05
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("guidance", [1.0, 1.5, 5.5, 7.5])
@pytest.mark.parametrize("num_steps", [1, 7, 10])
def test_guidance_and_steps(family: str, num_steps: int, guidance: float) -> None:
    assert_same_images(FAMILIES[family](), num_steps, guidance)


@pytest.mark.parametrize(
    "settings",
    [
        {"prediction_type": "v_prediction"},
        {"timestep_spacing": "trailing"},
        {"set_alpha_to_one": True, "steps_offset": 0},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
    ],
)
def test_settings_of_the_schedule(settings: dict[str, Any]) -> None:
    assert_same_images(tiny_pipeline(**settings), 5, 3.0)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a family and a folder with a pipeline of it."""
    folder = tmp_path_factory.mktemp(request.param)
    FAMILIES[request.param]().save_pretrained(folder)
    return request.param, folder


@pytest.mark.parametrize("settings", [{}, {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}])
@pytest.mark.parametrize("option", SCHEDULERS)
def test_every_scheduler_of_every_family(family: tuple[str, Path], option: str, settings: dict[str, Any]) -> None:
    kind, folder = family
    pipe = FAMILIES[kind](**settings)
    pipe.scheduler.save_pretrained(folder / "scheduler")
    component = families.component(kind)
    model = component.build(component.Config(path=str(folder), scheduler=option), torch.device("cpu"))
    scheduler, needed = SCHEDULERS[option]
    pipe.scheduler = scheduler.from_pretrained(folder / "scheduler", **needed)
    assert_same_images(pipe, 6, 3.0, model)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("option", ["ddim", "euler", "dpmpp_2m", "unipc", "euler_a", "dpmpp_2m_sde", "lcm"])
def test_zero_terminal_snr(option: str, spacing: str) -> None:
    settings = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": spacing}
    pipe = tiny_pipeline(**settings)
    scheduler, needed = SCHEDULERS[option]
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **needed)
    assert_same_images(pipe, 5, 3.0)


@pytest.mark.parametrize(
    ("scheduler", "settings"),
    [(KDPM2AncestralDiscreteScheduler, {}), (DPMSolverSinglestepScheduler, {"algorithm_type": "sde-dpmsolver++"})],
)
def test_other_stochastic_schedulers(scheduler: Any, settings: dict[str, Any]) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **settings)
    assert_same_images(pipe, 6, 3.0)


@pytest.mark.parametrize("option", ["euler", "dpmpp_2m", "dpmpp_2m_sde", "heun", "lcm"])
def test_timesteps_of_ones_own(family: tuple[str, Path], option: str) -> None:
    kind, folder = family
    timesteps = [999, 719, 439, 39]
    pipe = FAMILIES[kind]()
    pipe.scheduler.save_pretrained(folder / "scheduler")
    component = families.component(kind)
    config = component.Config(path=str(folder), scheduler=option, num_steps=4, timesteps=timesteps)
    scheduler, needed = SCHEDULERS[option]
    pipe.scheduler = scheduler.from_pretrained(folder / "scheduler", **needed)
    assert_same_images(pipe, 4, 3.0, component.build(config, torch.device("cpu")), timesteps)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("option", ["ddim", "euler", "euler_a", "unipc"])
def test_spacing_of_timesteps(family: tuple[str, Path], option: str, spacing: str) -> None:
    kind, folder = family
    pipe = FAMILIES[kind]()
    pipe.scheduler.save_pretrained(folder / "scheduler")
    component = families.component(kind)
    config = component.Config(path=str(folder), scheduler=option, timestep_spacing=spacing)
    pipe.scheduler = SCHEDULERS[option][0].from_pretrained(folder / "scheduler", timestep_spacing=spacing)
    assert_same_images(pipe, 4, 3.0, component.build(config, torch.device("cpu")))


@pytest.mark.parametrize("guidance", [1.0, 8.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_unet_distilled_with_guidance(family: str, guidance: float) -> None:
    pipe = FAMILIES[family](time_cond_proj_dim=7)
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    assert_same_images(pipe, 4, guidance)
    model = from_pipeline(pipe)
    embedding = model.encode(PROMPTS)
    assert torch.equal(embedding.cond, embedding.uncond)
    model.sample(
        SamplingPlan(gaussian_noise((4, 8, 8), [0, 1, 2]), guidance=guidance, num_steps=4), embedding, [0, 1, 2]
    )
    assert model.num_evaluations == 12


@pytest.mark.parametrize("family", FAMILIES)
def test_a_negative_prompt_for_a_unet_distilled_with_guidance_is_refused(family: str) -> None:
    model_class = StableDiffusionXL if family == "stable_diffusion_xl" else StableDiffusion
    pipe = FAMILIES[family](time_cond_proj_dim=7)
    model = model_class(pipe, name="tiny", num_steps=4, guidance=8.0, negative_prompt="ugly")
    with pytest.raises(ModelError, match="tiny takes guidance as an input, so a negative prompt does nothing"):
        model.encode(PROMPTS)


@pytest.mark.parametrize("size_px", [(48, 64), (16, 32)])
def test_another_size_of_sdxl(size_px: tuple[int, int]) -> None:
    pipe = tiny_xl_pipeline()
    height, width = size_px
    noise = gaussian_noise((4, height // 4, width // 4), range(len(PROMPTS)))
    arguments: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 3.0, "output_type": "pt"}
    expected = pipe(PROMPTS, latents=noise, height=height, width=width, **arguments).images
    model = from_pipeline(pipe)
    with torch.no_grad():
        images = model.decode(model.sample(SamplingPlan(noise, guidance=3.0, num_steps=4), model.encode(PROMPTS)))
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("negative", ["", "ugly, blurred"])
def test_a_negative_prompt_of_sdxl(negative: str) -> None:
    pipe = tiny_xl_pipeline()
    model = StableDiffusionXL(pipe, name="tiny", num_steps=4, guidance=3.0, negative_prompt=negative)
    noise = gaussian_noise((4, 8, 8), [0])
    arguments: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 3.0, "output_type": "pt"}
    expected = pipe(PROMPTS[:1], negative_prompt=[negative], latents=noise, **arguments).images
    with torch.no_grad():
        images = model.decode(model.sample(SamplingPlan(noise), model.encode(PROMPTS[:1])))
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_vae_with_statistics_of_its_latents(family: str) -> None:
    pipe = FAMILIES[family]()
    pipe.vae.register_to_config(latents_mean=[0.5, -1.0, 0.2, 0.0], latents_std=[2.0, 0.5, 1.0, 3.0])
    assert_same_images(pipe, 3, 3.0)
