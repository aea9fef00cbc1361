"""What ships with the package: the figures of its record, and that the formats' own loaders take it."""

import json

import open_clip
import pytest
import torch
from diffusers import StableDiffusionPipeline

from goldennoise.config.compose import load
from goldennoise.data.prompts import Prompt
from goldennoise.data.shapes.captions import benchmark
from goldennoise.data.shapes.locations import CLIP, PIPELINE, RECORD, TURBO, WEIGHTS
from goldennoise.diffusion import families
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.scorers.shapes_verifier import ShapesVerifier

RECORDED = json.loads(RECORD.read_text())["measured"]


@pytest.mark.parametrize(
    ("figure", "bar"),
    [
        (RECORDED["verifier"]["true_captions_right"], 0.995),
        (RECORDED["verifier"]["other_captions_right"], 0.995),
        (RECORDED["autoencoder"]["still_verified"], 0.98),
        (RECORDED["sampling"]["all"], 0.5),
        (RECORDED["best_of"]["chosen_by_preference"]["all"], RECORDED["best_of"]["standard"]["all"] + 0.1),
        (RECORDED["best_of"]["preference_roc_auc_within_prompt"], 0.85),
    ],
)
def test_recorded_figures_reach_their_bars(figure: float, bar: float) -> None:
    assert figure >= bar


def test_sampling_is_imperfect_enough_for_the_noise_to_matter() -> None:
    assert RECORDED["sampling"]["num_captions"] >= 1000
    assert RECORDED["sampling"]["all"] <= 0.85


def test_the_world_is_sampled_with_the_guidance_it_was_measured_with() -> None:
    assert load().model.guidance == RECORDED["guidance"]["chosen"]


def test_weights_are_small_and_safe() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt"}


def test_diffusers_loads_the_pipeline() -> None:
    pipe = StableDiffusionPipeline.from_pretrained(PIPELINE)
    assert pipe.unet.config.in_channels == 4
    assert pipe.scheduler.config.prediction_type == "epsilon"
    ids = pipe.tokenizer("a red circle left of a blue square").input_ids
    assert len(ids) == 10
    assert pipe.tokenizer.decode(ids, skip_special_tokens=True) == "a red circle left of a blue square"


def test_diffusers_loads_the_student_which_differs_in_its_unet_and_scheduler_alone() -> None:
    student, teacher = (StableDiffusionPipeline.from_pretrained(folder) for folder in (TURBO, PIPELINE))
    assert type(student.scheduler).__name__ == "LCMScheduler"
    assert student.scheduler.config.original_inference_steps == 50
    for part in ("text_encoder", "vae"):
        ours, theirs = (getattr(pipe, part).state_dict() for pipe in (student, teacher))
        assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())
    assert student.unet.config.block_out_channels == teacher.unet.config.block_out_channels
    assert not torch.equal(student.unet.conv_out.weight, teacher.unet.conv_out.weight)


@torch.no_grad()
def test_the_student_draws_what_is_asked_for_in_four_steps_without_guidance() -> None:
    config = load(["model=shapes_turbo"]).model
    model = families.component(config.kind).build(config, torch.device("cpu"))
    prompts = [Prompt.of(caption.text) for caption in benchmark(48, split="validation")]
    embedding, noise = model.encode([prompt.text for prompt in prompts]), model.initial_noise(range(48))
    right = []
    for num_steps in (4, 1):
        latents = model.sample(SamplingPlan(noise, num_steps=num_steps), embedding, range(48))
        right.append(float(ShapesVerifier(soft=False).score(model.decode(latents), prompts).mean()))
    assert model.num_evaluations == 48 * 5
    assert right[0] > 0.25
    assert right[1] < right[0]


def test_open_clip_loads_the_preference_model() -> None:
    model = open_clip.create_model(f"local-dir:{CLIP}")
    tokens = open_clip.get_tokenizer(f"local-dir:{CLIP}")(["a red circle"])
    assert model.encode_text(tokens).shape == (1, 128)
