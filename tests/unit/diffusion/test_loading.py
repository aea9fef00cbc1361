"""Pipelines that are there, and every way in which they can be missing. Nothing here may reach a network."""

import json
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from tiny import tiny_pipeline

from goldennoise.diffusion.latent_unet import StableDiffusion
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
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "FluxPipeline"}))
    with pytest.raises(ModelError, match=r"holds a FluxPipeline.*needs a StableDiffusionPipeline"):
        build(Config(path=str(folder)), CPU)


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
    with pytest.raises(ModelError, match="not a complete diffusers pipeline with safetensors weights") as caught:
        build(Config(path=str(folder)), CPU)
    assert "\n" not in str(caught.value)
