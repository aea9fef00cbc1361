"""`goldennoise.sample` and `load_time_predictor`: images of a diffusers pipeline on a schedule of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_flows import tiny_flux_pipeline, tiny_sd3_pipeline

import goldennoise
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.time_predictor import TimePredictorConfig
from goldennoise.networks.time_predictor.checkpoint import save_time_predictor
from goldennoise.networks.time_predictor.network import TimePredictor, new_predictor

PROMPTS = ["a red circle", "two blue squares"]
MAKERS = {
    "sd": tiny_pipeline,
    "xl": tiny_xl_pipeline,
    "sd3": tiny_sd3_pipeline,
    "flux": tiny_flux_pipeline,
}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def predictor(pipe: Any) -> TimePredictor:
    return new_predictor(TimePredictorConfig(from_pipeline(pipe).feature_width, 0.5, 0.5), seed=0)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_trained_schedule_in_three_lines(kind: str, tmp_path: Path) -> None:
    pipe: Any = MAKERS[kind]()
    save_time_predictor(predictor(pipe), tmp_path / "v1", {})
    network = goldennoise.load_time_predictor(tmp_path / "v1")
    found = goldennoise.sample(pipe, PROMPTS, schedule=network, generator=generator(), max_steps=5, min_level=0.1)
    assert [image.size for image in found.images] == [(32, 32)] * 2 or kind == "flux"
    assert all(levels[0] == 1 and levels[-1] == 0 for levels in found.levels)
    again = goldennoise.sample(pipe, PROMPTS[1:], schedule=found.levels[1], latents=_noise(pipe)[1:])
    difference = np.abs(np.asarray(again.images[0], float) - np.asarray(found.images[1], float))
    assert difference.max() <= 1  # alone in its batch, the last bits differ


def _noise(pipe: Any) -> torch.Tensor:
    return torch.randn(2, *from_pipeline(pipe).latent_shape, generator=generator())


def test_the_timesteps_of_the_pipeline_as_levels_give_its_own_images() -> None:
    pipe: Any = tiny_pipeline(timestep_spacing="trailing")
    levels = [1.0, 0.75, 0.5, 0.25, 0.0]
    ours = goldennoise.sample(pipe, PROMPTS, schedule=levels, generator=generator(), guidance_scale=3.0).images
    asked = {"generator": generator(), "guidance_scale": 3.0, "num_inference_steps": 4}
    theirs = pipe(PROMPTS, **asked).images
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(np.asarray(one, float) - np.asarray(other, float)).max() <= 1


@pytest.mark.parametrize("form", [np.asarray, torch.tensor, tuple])
def test_levels_may_be_an_array(form: Any) -> None:
    levels = [1.0, 0.5, 0.0]
    found = goldennoise.sample(tiny_pipeline(), "a ring", schedule=form(levels), generator=generator())
    assert found.levels == [(1.0, 0.5, 0.0)]


def test_a_predictor_brings_the_guidance_and_the_limits_of_its_training() -> None:
    pipe: Any = tiny_pipeline()
    config = TimePredictorConfig(from_pipeline(pipe).feature_width, 0.5, 0.5, max_steps=3, min_level=0.05, guidance=2.0)
    network = new_predictor(config, seed=0)
    ours, asked, others = (
        goldennoise.sample(pipe, PROMPTS, schedule=network, generator=generator(), **options)
        for options in ({}, {"guidance_scale": 2.0, "max_steps": 3}, {"guidance_scale": 5.0, "max_steps": 4})
    )
    assert [len(levels) - 1 for levels in ours.levels] == [3, 3]
    assert ours == asked
    assert [len(levels) - 1 for levels in others.levels] == [4, 4]
    assert others.images != ours.images


def test_half_weights_are_taken() -> None:
    pipe: Any = tiny_pipeline()
    found = goldennoise.sample(pipe, "a ring", schedule=predictor(pipe).bfloat16(), generator=generator())
    assert found.levels[0][-1] == 0


def test_guidance_is_the_pipelines_default_and_a_negative_prompt_counts() -> None:
    pipe: Any = tiny_pipeline()
    levels = [1.0, 0.5, 0.0]

    def pixels(**options: Any) -> np.ndarray:
        found = goldennoise.sample(pipe, "a ring", schedule=levels, generator=generator(), **options)
        return np.asarray(found.images[0], float)

    assert np.array_equal(pixels(), pixels(guidance_scale=7.5))
    assert not np.array_equal(pixels(), pixels(guidance_scale=2.0))
    assert not np.array_equal(pixels(), pixels(negative_prompt="a blue square"))


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"schedule": "trailing"},
        ConfigError,
        "schedule must be what load_time_predictor gives, or a list of noise levels that",
    ),
    ({"schedule": [1.0, 0.5]}, ConfigError, "noise levels that fall from 1 at most to 0"),
    ({"schedule": [0.5, 0.5, 0.0]}, ConfigError, "noise levels that fall from 1 at most to 0"),
    ({"schedule": [1.2, 0.5, 0.0]}, ConfigError, "noise levels that fall from 1 at most to 0"),
    ({"schedule": [1.0, float("nan"), 0.0]}, ConfigError, "noise levels that fall from 1 at most to 0"),
    ({"schedule": ["a", "b"]}, ConfigError, "a list of noise levels that fall from 1 at most to 0"),
    ({"schedule": [[1, 0.5], [0.5, 0]]}, ConfigError, "a list of noise levels that fall from 1 at most to 0"),
    ({"schedule": [[1, 0.5], [0]]}, ConfigError, "a list of noise levels that fall from 1 at most to 0"),
    ({"schedule": Path("v1")}, ConfigError, "schedule must be what load_time_predictor gives"),
    ({"min_level": "0.1"}, ConfigError, "min_level must be a finite number"),
    ({"negative_prompt": ["x"]}, ConfigError, "negative_prompt must be one text for all prompts"),
    ({"latents": torch.full((1, 4, 8, 8), torch.nan)}, ModelError, "features are not finite: check the initial noise"),
    ({"max_steps": 0}, ConfigError, "max_steps must be at least 1"),
    ({"min_level": 0.0}, ConfigError, "min_level must be above 0 and below 1"),
    ({"latents": torch.zeros(1, 4, 8, 16)}, ModelError, r"The noise must be \(B, 4, 8, 8\), not \(1, 4, 8, 16\)"),
    ({"clip_skipp": 1}, ConfigError, "clip_skipp"),
]


@pytest.mark.parametrize(("options", "error", "words"), REFUSED)
def test_what_does_not_fit_is_one_sentence(options: dict[str, Any], error: type[Exception], words: str) -> None:
    pipe: Any = tiny_pipeline()
    with pytest.raises(error, match=words):
        goldennoise.sample(pipe, "a ring", **({"schedule": predictor(pipe)} | options))


def test_a_compiled_pipeline_is_refused() -> None:
    pipe: Any = tiny_pipeline()
    network = predictor(pipe)
    pipe.unet.compile(backend="eager")
    with pytest.raises(ModelError, match="A compiled denoiser does not show its features"):
        goldennoise.sample(pipe, "a ring", schedule=network)


def test_another_scheduler_and_another_models_predictor_are_refused() -> None:
    pipe: Any = tiny_pipeline()
    network = predictor(pipe)
    with pytest.raises(ModelError, match="This time predictor reads features"):
        goldennoise.sample(tiny_sd3_pipeline(), "a ring", schedule=network)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    with pytest.raises(ModelError, match="DPMSolverMultistepScheduler"):
        goldennoise.sample(pipe, "a ring", schedule=network)
