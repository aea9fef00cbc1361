"""Pipelines that are there, and every way in which they can be missing. Nothing here may reach a network."""

import json
import logging
from pathlib import Path

import diffusers
import huggingface_hub.constants
import pytest
import torch
from tiny import tiny_pipeline, tiny_xl_pipeline

from goldennoise.diffusion import stable_diffusion_xl
from goldennoise.diffusion.latent_unet import StableDiffusion, StableDiffusionXL
from goldennoise.diffusion.stable_diffusion import Config, build
from goldennoise.errors import ModelError
from goldennoise.seeding import gaussian_noise
from goldennoise.shapes import locations

CPU = torch.device("cpu")
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_pipeline().save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


@torch.no_grad()
def test_a_folder_gives_the_same_images_as_its_pipeline(folder: Path) -> None:
    model = build(Config(path=str(folder), num_steps=3, guidance=2.0, negative_prompt="blue"), CPU)
    assert isinstance(model, StableDiffusion)
    assert (model.name, model.num_steps, model.guidance, model.latent_shape) == ("mine", 3, 2.0, (4, 8, 8))
    noise = gaussian_noise(model.latent_shape, [0])
    images = tiny_pipeline()(
        ["red"], negative_prompt=["blue"], latents=noise, num_inference_steps=3, guidance_scale=2.0, output_type="pt"
    ).images
    torch.testing.assert_close(model.decode(model.sample(noise, model.encode(["red"]))), images, rtol=0, atol=1e-4)


def test_the_dtype_and_the_image_size_are_the_configs(folder: Path) -> None:
    model = build(Config(path=str(folder), dtype="bfloat16", height=64, width=32), CPU)
    assert model.dtype == torch.bfloat16
    assert model.latent_shape == (4, 16, 8)
    assert model.encode(["a"]).cond.dtype == torch.bfloat16


def test_the_packaged_world_is_called_shapes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "PIPELINE", folder)
    assert build(Config(path="shapes"), CPU).name == "shapes"


def test_a_missing_packaged_world_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "PIPELINE", tmp_path)
    with pytest.raises(ModelError, match=f"{tmp_path}.*reinstall"):
        build(Config(path="shapes"), CPU)


@pytest.mark.parametrize("path", ["/no/such/folder", "./nowhere", "../a", "shape", "a/b/c", "my model/x"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(path: str) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        build(Config(path=path), CPU)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"without model_index\.json"):
        build(Config(path=str(tmp_path)), CPU)


def test_a_hub_model_that_cannot_be_had_comes_with_the_command_that_fetches_it() -> None:
    with pytest.raises(ModelError, match=r"model\.path=owner/none .*`hf download owner/none`"):
        build(Config(path="owner/none"), CPU)
    with pytest.raises(ModelError, match="`hf download owner/none --revision v1`"):
        build(Config(path="owner/none", revision="v1"), CPU)


def test_a_pipeline_of_another_family_is_refused(folder: Path) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "KolorsPipeline"}))
    with pytest.raises(
        ModelError,
        match=r"holds a KolorsPipeline.*needs a StableDiffusionPipeline: supported are .*, StableDiffusionXL",
    ):
        build(Config(path=str(folder)), CPU)


def test_a_pipeline_of_another_family_of_ours_comes_with_its_kind(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"holds a StableDiffusionPipeline.*: set model\.kind=stable_diffusion\.$"):
        stable_diffusion_xl.build(stable_diffusion_xl.Config(path=str(folder)), CPU)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_an_sdxl_folder(tmp_path: Path, variant: str | None) -> None:
    tiny_xl_pipeline().save_pretrained(tmp_path / "mine", variant=variant)
    warnings = _Warnings()
    diffusers.utils.logging.get_logger("diffusers").addHandler(warnings)
    config = stable_diffusion_xl.Config(path=str(tmp_path / "mine"), dtype="float16", variant=variant, width=64)
    model = stable_diffusion_xl.build(config, CPU)
    diffusers.utils.logging.get_logger("diffusers").removeHandler(warnings)
    assert isinstance(model, StableDiffusionXL)
    assert (model.name, model.guidance, model.latent_shape) == ("mine", 5.0, (4, 8, 16))
    assert model.dtype == model.encode(["a"]).extra["pooled"].dtype == torch.float16
    assert not [text for text in warnings.texts if "not expected" in text]


def test_a_safety_checker_is_not_loaded(folder: Path) -> None:
    index = folder / "model_index.json"
    checker = {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "requires_safety_checker": True}
    index.write_text(json.dumps(json.loads(index.read_text()) | checker))
    assert build(Config(path=str(folder)), CPU).name == "mine"


def test_missing_files_of_a_variant_are_one_sentence(tmp_path: Path) -> None:
    tiny_xl_pipeline().save_pretrained(tmp_path / "mine")
    with pytest.raises(ModelError, match=r"not a complete .* without fp16 in their names .* model\.variant=null"):
        stable_diffusion_xl.build(stable_diffusion_xl.Config(path=str(tmp_path / "mine"), variant="fp16"), CPU)


def test_a_folder_of_a_variant_alone_says_which(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "mine", variant="fp16")
    with pytest.raises(ModelError, match=r"mine has weights called fp16: set model\.variant=fp16 \("):
        build(Config(path=str(tmp_path / "mine")), CPU)
    with pytest.raises(ModelError, match=r"set model\.variant=fp16; its weights without bf16"):
        build(Config(path=str(tmp_path / "mine"), variant="bf16"), CPU)


def test_a_pipeline_with_code_of_its_own_is_of_no_family(folder: Path) -> None:
    index = folder / "model_index.json"
    custom = {"_class_name": ["pipeline", "StableDiffusionPipeline"]}
    index.write_text(json.dumps(json.loads(index.read_text()) | custom))
    with pytest.raises(ModelError, match=r"holds a \['pipeline', 'StableDiffusionPipeline'\], but"):
        build(Config(path=str(folder)), CPU)


class _Warnings(logging.Handler):
    """What diffusers logs, which does not propagate to the root logger."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.mark.parametrize("damage", ["missing weights", "broken weights", "broken index", "pickled weights"])
def test_a_damaged_pipeline_is_one_sentence(folder: Path, damage: str) -> None:
    if damage == "missing weights":
        (folder / UNET).unlink()
    elif damage == "broken weights":
        (folder / UNET).write_bytes(b"not safetensors at all")
    elif damage == "broken index":
        (folder / "model_index.json").write_text("{")
    else:
        (folder / UNET).unlink()
        tiny_pipeline().unet.save_pretrained(folder / "unet", safe_serialization=False)
        assert list((folder / "unet").glob("*.bin"))
    expected = (
        r"has \.bin files in unet, which may run code" if damage == "pickled weights" else "not a complete diffusers"
    )
    with pytest.raises(ModelError, match=expected) as caught:
        build(Config(path=str(folder)), CPU)
    assert "\n" not in str(caught.value)
