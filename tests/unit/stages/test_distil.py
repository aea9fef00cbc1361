"""The stage: from a model of many guided steps to a student that diffusers and the other stages sample in a few."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    LCMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    TCDScheduler,
)
from unit.training.denoiser.tiny_models import config, write_images, write_models

from goldennoise.config.compose import RunConfig, load, located
from goldennoise.diffusion import families
from goldennoise.diffusion.lora import STANDARD_FILE
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ConfigError, ModelError
from goldennoise.stages import distil
from goldennoise.stages import eval as eval_stage
from goldennoise.training.denoiser import fit

PIPELINES = {"sd": StableDiffusionPipeline, "xl": StableDiffusionXLPipeline}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_models(tmp_path)
    write_images(tmp_path / "images")
    return tmp_path


def brief(folder: Path, *overrides: str, model: str = "sd") -> RunConfig:
    return config(folder, "stage.learning_rate=1e-3", *overrides, model=model, stage="distil")


def images_of(pipe: Any) -> torch.Tensor:
    """In four steps without guidance, from equal noise."""
    generator = torch.Generator().manual_seed(0)
    arguments = {"num_inference_steps": 4, "guidance_scale": 1.0, "output_type": "pt", "generator": generator}
    pipe.set_progress_bar_config(disable=True)
    return pipe(["red"], **arguments).images


@pytest.mark.parametrize("model", ["sd", "xl"])
@pytest.mark.parametrize("lora", [False, True])
def test_diffusers_loads_the_student_with_its_scheduler(folder: Path, model: str, lora: bool) -> None:
    artifact = distil.run(brief(folder, *["stage.lora_rank=2"] * lora, "stage.solver_steps=20", model=model))
    student = DiffusionPipeline.from_pretrained(artifact.path)
    assert isinstance(student.scheduler, LCMScheduler)
    assert student.scheduler.config.original_inference_steps == 20
    before = PIPELINES[model].from_pretrained(folder / model)
    for part in ("text_encoder", "vae"):
        old, new = (getattr(each, part).state_dict() for each in (before, student))
        assert all(torch.equal(old[name], new[name]) for name in old)
    tokenizers = [path / "tokenizer/tokenizer.json" for path in (artifact.path, folder / model)]
    assert tokenizers[0].read_bytes() == tokenizers[1].read_bytes()
    before.scheduler = LCMScheduler.from_config(student.scheduler.config)
    unlike = images_of(before)
    assert (images_of(student) - unlike).abs().max() > 1e-3
    assert (artifact.path / STANDARD_FILE).is_file() == lora
    if lora:
        before.load_lora_weights(artifact.path)
        torch.testing.assert_close(images_of(before), images_of(student), rtol=0, atol=1e-4)
    history, errors = pd.read_csv(artifact.path / "training.csv"), pd.read_parquet(artifact.path / "validation.parquet")
    assert history["step"].tolist() == [3, 6, 7]
    assert errors["timestep"].nunique() == 12
    assert errors["error"].mean() == artifact.record["counts"]["val_error"]


@pytest.mark.parametrize("model", ["sd", "xl"])
def test_a_student_of_deterministic_steps_is_sampled_alike_by_diffusers_and_here(folder: Path, model: str) -> None:
    artifact = distil.run(brief(folder, "stage.student_steps=4", "stage.solver_steps=20", model=model))
    pipe = DiffusionPipeline.from_pretrained(artifact.path)
    assert isinstance(pipe.scheduler, TCDScheduler)
    assert pipe.scheduler.config.original_inference_steps == 4
    here: Any = families.component({"sd": "stable_diffusion", "xl": "stable_diffusion_xl"}[model])
    options = {"num_steps": 4, "guidance": 1.0, "negative_prompt": None}
    built = here.build(here.Config(path=str(artifact.path), **options), torch.device("cpu"))
    noise = torch.randn(1, *built.latent_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = built.sample(SamplingPlan(noise), built.encode(["red"]))
    pipe.set_progress_bar_config(disable=True)
    arguments = {"num_inference_steps": 4, "guidance_scale": 1.0, "output_type": "latent", "latents": noise}
    torch.testing.assert_close(found, pipe(["red"], **arguments).images, rtol=0, atol=1e-5)


def test_guidance_and_negative_prompt_are_part_of_what_is_learnt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil.run(brief(folder)).reference == "model/tiny@v1"
    assert distil.run(brief(folder, "model.guidance=5")).reference == "model/tiny@v2"
    assert distil.run(brief(folder, "model.negative_prompt=blurred")).reference == "model/tiny@v3"
    capsys.readouterr()
    assert distil.run(brief(folder, "model.num_steps=9")).reference == "model/tiny@v1"
    assert capsys.readouterr().out == "model/tiny@v1 is complete.\n"


def test_a_killed_distillation_ends_as_one_that_was_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = distil.run(brief(folder, f"outputs={folder / 'other'}"))

    class Killed(Exception):  # noqa: N818
        """In the middle."""

    class DiesAtStep5(fit.DenoiserTraining):
        def on_train_batch_start(self, *_: object) -> None:
            super().on_train_batch_start()
            if self.global_step == 4:
                raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(fit, "DenoiserTraining", DiesAtStep5)
        with pytest.raises(Killed):
            distil.run(brief(folder))
    resumed = distil.run(brief(folder))
    assert resumed.record["files"] == long.record["files"]
    assert resumed.record["counts"] == long.record["counts"]


def student(folder: Path, *overrides: str) -> str:
    distil.run(brief(folder, "stage.num_steps=1", *overrides))
    return f"model.path={folder / 'outputs/model/tiny/v1'}"


def test_a_student_is_not_distilled_again(folder: Path) -> None:
    again = load([*(f"stage={name}" for name in ["distil"]), student(folder), f"outputs={folder / 'outputs'}"])
    with pytest.raises(ModelError, match=r"was distilled already \(its scheduler has original_inference_steps\)"):
        distil.run(again)


def test_the_sampler_that_was_chosen_says_nothing_of_the_model(folder: Path) -> None:
    assert distil.run(brief(folder, "model.scheduler=lcm", "stage.num_steps=1")).reference == "model/tiny@v1"


STEPS_4 = ("stage.student_steps=4", "stage.solver_steps=20")


@pytest.mark.parametrize(
    ("made", "sampled", "warning"),
    [
        ((), "scheduler=lcm num_steps=4", ""),
        ((), "scheduler=lcm num_steps=9", "was distilled for at most 8 steps, not model.num_steps=9"),
        ((), "scheduler=ddim num_steps=4", "for scheduler=lcm: model.scheduler=ddim blurs its images"),
        (STEPS_4, "scheduler=ddim num_steps=4", ""),
        ((*STEPS_4, "model.timestep_spacing=leading"), "scheduler=ddim num_steps=4", ""),
        (STEPS_4, "scheduler=ddim num_steps=5", "was distilled for 4 steps, not model.num_steps=5"),
        (STEPS_4, "scheduler=lcm num_steps=4", "for scheduler=ddim: model.scheduler=lcm blurs its images"),
        (
            STEPS_4,
            "scheduler=ddim num_steps=4 timestep_spacing=leading",
            "model/tiny@v1 was distilled for model.timestep_spacing=trailing",
        ),
    ],
)
def test_a_sampler_the_student_was_not_made_for_is_warned_of(
    folder: Path, caplog: pytest.LogCaptureFixture, made: tuple[str, ...], sampled: str, warning: str
) -> None:
    sampler = [f"model.{option}" for option in sampled.split()]
    small = ("stage.num_prompts=1", "stage.num_seeds=1", "scorer=[shapes_clip]", "method=[standard]")
    seen = (f"outputs={folder / 'outputs'}", "model.guidance=1", "model.tone=null", student(folder, *made), *sampler)
    with caplog.at_level(logging.WARNING):
        eval_stage.run(located(load(["stage=eval", *seen, *small])))
    found = [record.getMessage() for record in caplog.records if "was distilled" in record.getMessage()]
    assert [warning in message for message in found] == [True] * bool(warning)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=sd35"], "model.kind=stable_diffusion_3: distil trains UNets on noise schedules, those of"),
        (["stage.batch_size=1", "compute.devices=2"], "stage.batch_size=1: 2 devices share a batch; set at least 2"),
    ],
)
def test_what_cannot_be_distilled_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        distil.run(load(["stage=distil", *overrides]))
    assert message in str(raised.value)


DIVIDES = "must be a divisor of 1000, the timesteps of training"
OF_FOUR = "must be one of 4, 8, 20, 40, 100, 200, 500, 1000 with stage.student_steps=4"


@pytest.mark.parametrize(
    ("own", "solver", "message"),
    [
        ("null", 1001, f"stage.solver_steps=1001: solver_steps {DIVIDES}"),
        ("null", 600, f"stage.solver_steps=600: solver_steps {DIVIDES}"),
        ("4", 39, f"stage.solver_steps=39: solver_steps {DIVIDES}"),
        ("7", 50, f"stage.student_steps=7: student_steps {DIVIDES}"),
        ("4", 50, f"stage.solver_steps=50: solver_steps {OF_FOUR}"),
        ("4", 2, f"stage.solver_steps=2: solver_steps {OF_FOUR}"),
    ],
)
def test_steps_that_do_not_lie_on_one_another_are_refused(folder: Path, own: str, solver: int, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        distil.run(brief(folder, f"stage.student_steps={own}", f"stage.solver_steps={solver}"))
    assert str(raised.value) == message


def test_one_solver_step_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stage\.solver_steps=1: solver_steps must be at least 2"):
        load(["stage=distil", "stage.solver_steps=1"])
