"""A LoRA merged into a pipeline gives the pipeline's own images with it, and one that does not fit is refused."""

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_transformers import TRANSFORMERS

from goldennoise.diffusion import families
from goldennoise.diffusion import lora as lora_module
from goldennoise.diffusion.families.table import PixArtSigma
from goldennoise.diffusion.families.table import StableDiffusion as Config
from goldennoise.diffusion.identity import differences, model_identity
from goldennoise.diffusion.lora import STANDARD_FILE, merge_lora
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ModelError
from goldennoise.runtime.seeding import gaussian_noise

CPU = torch.device("cpu")


def build(config: Any, device: torch.device) -> Any:
    return families.component(config.kind).build(config, device)


def write_lora(pipe: Any, folder: Path) -> Path:
    """Random LoRA weights for the attention of the pipeline's UNet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # Without the usual start, at which a LoRA changes nothing.
        pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    pipe.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(pipe.unet))
    return folder


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    tiny_pipeline().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_lora(tiny_pipeline(), tmp_path / "lora")


@pytest.mark.parametrize("given", ["folder", "file"])
@torch.no_grad()
def test_images_are_those_of_the_pipeline_with_the_lora(model_folder: Path, lora: Path, given: str) -> None:
    asked = str(lora if given == "folder" else lora / STANDARD_FILE)
    model = build(Config(path=str(model_folder), num_steps=3, guidance=2.0, lora=asked), CPU)
    noise = gaussian_noise(model.latent_shape, [0])
    images = model.decode(model.sample(SamplingPlan(noise), model.encode(["red"])))
    pipe = tiny_pipeline()
    settings = {"latents": noise, "num_inference_steps": 3, "guidance_scale": 2.0, "output_type": "pt"}
    without = pipe(["red"], **settings).images
    pipe.load_lora_weights(lora)
    torch.testing.assert_close(images, pipe(["red"], **settings).images, rtol=0, atol=1e-4)
    assert float((images - without).abs().max()) > 1e-3


def test_a_merged_lora_leaves_a_plain_network_and_is_in_the_name(model_folder: Path, lora: Path) -> None:
    model = build(Config(path=str(model_folder), lora=str(lora)), CPU)
    assert model.name == f"model with {lora}"
    assert Config(path="a/b", lora="c/d").name == "a/b with c/d"
    assert model._pipe.unet.state_dict().keys() == tiny_pipeline().unet.state_dict().keys()


def test_a_model_with_a_lora_is_another_model() -> None:
    plain, adapted = Config(path="mine"), Config(path="mine", lora="style")
    assert differences(model_identity(plain), adapted) == ["model.lora=style, not None"]
    assert differences({name: value for name, value in model_identity(plain).items() if name != "lora"}, plain) == []


def test_weights_that_change_under_their_path_are_another_model(model_folder: Path, lora: Path) -> None:
    config = Config(path=str(model_folder), lora=str(lora))
    first = model_identity(config)
    assert model_identity(config) == first
    for folder in (lora, model_folder):
        file = next(folder.rglob("*.safetensors"))
        before = model_identity(config)
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        assert [change.partition("=")[0] for change in differences(before, config)] == ["model.weights"]


def test_the_same_weights_in_another_place_are_the_same_model(model_folder: Path, tmp_path: Path) -> None:
    first = model_identity(Config(path=str(model_folder)))
    shutil.copytree(model_folder, tmp_path / "elsewhere" / model_folder.name)
    assert differences(first, Config(path=str(tmp_path / "elsewhere" / model_folder.name))) == []


def test_a_file_in_place_of_a_folder_is_left_for_loading_to_refuse(lora: Path) -> None:
    assert model_identity(Config(path=str(lora / STANDARD_FILE)))["weights"] is None


def test_weights_count_that_are_loaded_and_no_others(model_folder: Path, lora: Path, tmp_path: Path) -> None:
    config = Config(path=str(model_folder), lora=str(lora))
    before = model_identity(config)
    (lora / "checkpoint-500").mkdir()
    (lora / "checkpoint-500" / STANDARD_FILE).write_bytes(b"an earlier one")
    (model_folder / "whole.safetensors").write_bytes(b"in one file")
    (model_folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    assert model_identity(config) == before
    assert (
        model_identity(Config(path=str(model_folder), lora=str(lora), variant="fp16"))["weights"] != before["weights"]
    )
    # A fine-tune of one part, linked into a folder that shares the others.
    shutil.move(model_folder / "unet", tmp_path / "tuned")
    (model_folder / "unet").symlink_to(tmp_path / "tuned")
    assert model_identity(config) == before
    (tmp_path / "tuned" / "diffusion_pytorch_model.safetensors").write_bytes(b"other weights")
    assert model_identity(config)["weights"] != before["weights"]


def test_a_lora_for_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_lora(tiny_xl_pipeline(), tmp_path / "xl")
    with pytest.raises(ModelError, match="is no LoRA for a StableDiffusionPipeline of these widths"):
        merge_lora(tiny_pipeline(), str(folder))


def test_what_is_no_lora_is_refused(model_folder: Path) -> None:
    with pytest.raises(ModelError, match="is no LoRA for a StableDiffusionPipeline"):
        merge_lora(tiny_pipeline(), str(model_folder / "unet" / "diffusion_pytorch_model.safetensors"))


@pytest.mark.parametrize(
    "change", [lambda tensor: tensor.flatten(), lambda tensor: tensor.sum(), lambda tensor: tensor[:0]]
)
def test_tensors_of_another_shape_are_refused(lora: Path, change: Any) -> None:
    file = lora / STANDARD_FILE
    save_file({name: change(tensor).contiguous() for name, tensor in load_file(file).items()}, file)
    with pytest.raises(ModelError, match="is no LoRA for a StableDiffusionPipeline of these widths"):
        merge_lora(tiny_pipeline(), str(lora))


def test_half_of_a_pair_is_refused(lora: Path) -> None:
    file = lora / STANDARD_FILE
    save_file(dict(list(load_file(file).items())[:1]), file)
    with pytest.raises(ModelError, match="is no LoRA for a StableDiffusionPipeline of these widths"):
        merge_lora(tiny_pipeline(), str(lora))


def test_a_file_of_another_kind_is_not_read(lora: Path) -> None:
    torch.save(load_file(lora / STANDARD_FILE), lora / "style.bin")
    with pytest.raises(ModelError, match=r"style\.bin is no safetensors file, which alone are read"):
        merge_lora(tiny_pipeline(), str(lora / "style.bin"))


def test_a_lora_under_another_name_is_told_with_it(lora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lora / STANDARD_FILE).rename(lora / "style.safetensors")
    with pytest.raises(ModelError) as caught:
        merge_lora(tiny_pipeline(), str(lora))
    given = f"model.lora={lora}/style.safetensors"
    assert str(caught.value) == (
        f"model.lora={lora} holds no {STANDARD_FILE}, but style.safetensors: give the file itself, such as {given}."
    )
    merge_lora(tiny_pipeline(), given.removeprefix("model.lora="))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(lora_module, "hub_files", lambda _: ["README.md", "b.safetensors", "a.safetensors"])
    with pytest.raises(ModelError, match=r"but a.safetensors, b.safetensors: .*lora=owner/name/a\.safetensors\.$"):
        merge_lora(tiny_pipeline(), "owner/name")


@pytest.mark.parametrize("path", ["~/lora", "~/link", "~/link/pytorch_lora_weights.safetensors"])
def test_the_same_lora_by_another_path_is_the_same_model(
    lora: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(lora.parent))
    (lora.parent / "link").symlink_to(lora)
    given = str(lora / STANDARD_FILE if path.endswith(STANDARD_FILE) else lora)
    first = model_identity(Config(path="shapes", lora=given))
    assert differences(first, Config(path="shapes", lora=path)) == []
    merged, expected = tiny_pipeline(), tiny_pipeline()
    merge_lora(merged, path)
    merge_lora(expected, given)
    found, weights = (pipe.unet.state_dict() for pipe in (merged, expected))
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_truncated_file_is_refused(lora: Path) -> None:
    file = lora / STANDARD_FILE
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=rf"{STANDARD_FILE} is truncated or damaged"):
        merge_lora(tiny_pipeline(), str(lora))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("nowhere", "model.lora=nowhere: there is no such file or folder"),
        ("owner/name", f"`hf download owner/name {STANDARD_FILE}`"),
        ("owner/name/four_steps.safetensors", "`hf download owner/name four_steps.safetensors`"),
    ],
)
def test_a_lora_that_is_not_to_be_had_is_named(monkeypatch: pytest.MonkeyPatch, asked: str, words: str) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=words):
        merge_lora(tiny_pipeline(), asked)


def test_a_folder_without_one_names_the_file(model_folder: Path) -> None:
    with pytest.raises(ModelError, match=rf"{STANDARD_FILE} does not exist"):
        merge_lora(tiny_pipeline(), str(model_folder))


def test_a_family_that_diffusers_reads_no_lora_for_is_refused(tmp_path: Path, lora: Path) -> None:
    TRANSFORMERS["pixart_sigma"]().save_pretrained(tmp_path / "pixart")
    with pytest.raises(ModelError, match="diffusers reads no LoRA for a PixArtSigmaPipeline; merge it"):
        build(PixArtSigma(path=str(tmp_path / "pixart"), lora=str(lora)), CPU)
