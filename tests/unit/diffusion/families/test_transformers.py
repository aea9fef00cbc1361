"""What a user can ask of the transformer families, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from tiny_flows import FLOWS, tiny_flux_pipeline, tiny_sana_pipeline, tiny_sd3_pipeline
from tiny_transformers import TRANSFORMERS

from goldennoise.diffusion import families
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.errors import ConfigError, ModelError

FAMILIES = TRANSFORMERS | FLOWS
DEFAULTS = {
    "pixart_sigma": (20, 4.5, (4, 8, 8), (300, 16)),
    "hunyuan_dit": (50, 5.0, (4, 8, 8), (77, 16)),
    "stable_diffusion_3": (28, 7.0, (4, 8, 8), (333, 32)),
    "flux": (28, 3.5, (4, 8, 8), (512, 16)),
    "sana": (20, 4.5, (4, 16, 16), (300, 16)),
}
"""Steps, guidance and shapes of noise and text of a pipeline that is passed."""
PIPELINES = {name: family.Config().kind for name, family in families.pipelines().items()}


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_pipeline_is_recognised_and_has_diffusers_defaults(kind: str) -> None:
    model: Any = from_pipeline(FAMILIES[kind]())
    found = (model.num_steps, model.guidance, model.latent_shape, tuple(model.encode(["a"]).cond.shape[1:]))
    assert found == DEFAULTS[kind]


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_pipeline_of_another_family_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    family = families.component(kind)
    other = next(name for name in PIPELINES if name not in family.PIPELINES)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": other}))
    needed = f"holds a {other}, but this kind of model needs a {family.PIPELINES[0]}: set model.kind={PIPELINES[other]}"
    with pytest.raises(ModelError, match=needed):
        family.build(family.Config(path=str(tmp_path)), torch.device("cpu"))


@pytest.mark.parametrize(("kind", "multiple"), [(kind, 32 if kind == "sana" else 16) for kind in FAMILIES])
def test_sizes_that_patches_cannot_cover_are_refused(kind: str, multiple: int) -> None:
    config = families.component(kind).Config
    assert config(height=3 * multiple).height == 3 * multiple
    with pytest.raises(ConfigError, match=f"^width={multiple + 8}: width must be null or a multiple of {multiple} px"):
        config(width=multiple + 8)


@pytest.mark.parametrize("kind", ["stable_diffusion_3", "flux"])
@pytest.mark.parametrize("option", ["ddim", "euler", "flow_dpmpp_2m"])
def test_a_flow_with_one_sampler_names_it(kind: str, option: str) -> None:
    with pytest.raises(
        ConfigError, match=f"^scheduler={option}: scheduler must be flow_euler, this family's only sampler"
    ):
        families.component(kind).Config(scheduler=option)


def test_the_samplers_of_sana_and_of_no_flow() -> None:
    with pytest.raises(
        ConfigError, match=r"^scheduler=dpmpp_2m: .*one of flow_euler, flow_dpmpp_2m; did you mean flow"
    ):
        families.component("sana").Config(scheduler="dpmpp_2m")
    with pytest.raises(ConfigError, match=r"^scheduler=flow_euler: scheduler must be one of ddim, euler, dpmpp_2m"):
        families.component("pixart_sigma").Config(scheduler="flow_euler")


def test_a_pipeline_with_a_sampler_its_family_cannot_take_is_refused() -> None:
    settings: dict[str, Any] = {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}
    for pipe in (tiny_sd3_pipeline(), tiny_sana_pipeline(), tiny_flux_pipeline()):
        pipe.scheduler = DPMSolverMultistepScheduler(**settings)
        if type(pipe).__name__ == "SanaPipeline":
            from_pipeline(pipe)
        else:
            with pytest.raises(ModelError, match="DPMSolverMultistepScheduler as it is set does not sample"):
                from_pipeline(pipe)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("negative_prompt", "ugly", "negative_prompt='ugly': negative_prompt must be null: this family is guided by"),
        ("negative_prompt", "", "negative_prompt='': negative_prompt must be null"),
        ("max_sequence_length", 0, "max_sequence_length=0: max_sequence_length must be between 1 and 512 tokens"),
        ("max_sequence_length", 513, "max_sequence_length=513: "),
    ],
)
def test_an_option_that_flux_cannot_follow_is_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        families.component("flux").Config(**{option: value})


def test_a_prompt_longer_than_the_instruction_leaves_sana_room_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    model: Any = from_pipeline(tiny_sana_pipeline())
    model.encode(["a " * 100])
    assert (model.num_truncated, caplog.text) == (0, "")
    model.encode(["a " * 200])
    assert model.num_truncated == 1
    assert "1 of 1 prompts" in caplog.text


def test_a_folder_with_a_sampler_that_is_no_flow_is_refused(tmp_path: Path) -> None:
    pipe = tiny_sd3_pipeline()
    pipe.scheduler = DDIMScheduler()
    pipe.save_pretrained(tmp_path)
    family = families.component("stable_diffusion_3")
    with pytest.raises(ModelError, match=r"DDIMScheduler as it is set .* scheduler to FlowMatchEulerDiscreteScheduler"):
        family.build(family.Config(path=str(tmp_path)), torch.device("cpu"))


def test_the_text_of_sana_stands_on_the_left_however_its_tokenizer_pads() -> None:
    pipe = tiny_sana_pipeline()
    pipe.tokenizer.padding_side = "left"
    model: Any = from_pipeline(pipe)
    mask = model.encode(["a"]).extra["uncond_mask"]
    assert mask[0].tolist() == [1] + 299 * [0]  # its first token alone, of an empty prompt
