"""Pipelines that are there, and every way in which they can be missing. Nothing here may reach a network."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_pipeline, tiny_xl_pipeline

from goldennoise.data.shapes import locations
from goldennoise.diffusion import families, weight_files
from goldennoise.diffusion.families.latent_unet import StableDiffusion, StableDiffusionXL
from goldennoise.diffusion.families.table import StableDiffusion as Config
from goldennoise.diffusion.families.table import StableDiffusionXL as XLConfig
from goldennoise.diffusion.identity import differences, model_identity
from goldennoise.diffusion.lora import STANDARD_FILE
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ModelError
from goldennoise.runtime.seeding import gaussian_noise

CPU = torch.device("cpu")


def build(config: Any, device: torch.device) -> Any:
    return families.component(config.kind).build(config, device)


UNET = "unet/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"


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
    torch.testing.assert_close(
        model.decode(model.sample(SamplingPlan(noise), model.encode(["red"]))), images, rtol=0, atol=1e-4
    )


def test_the_dtype_and_the_image_size_are_the_configs(folder: Path) -> None:
    model = build(Config(path=str(folder), dtype="bfloat16", height=64, width=32), CPU)
    assert model.dtype == torch.bfloat16
    assert model.latent_shape == (4, 16, 8)
    assert model.encode(["a"]).cond.dtype == torch.bfloat16


def test_the_packaged_world_is_called_shapes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(locations.PIPELINES, "shapes", folder)
    assert build(Config(path="shapes"), CPU).name == "shapes"


def test_a_missing_packaged_world_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(locations.PIPELINES, "shapes", tmp_path)
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
        build(XLConfig(path=str(folder)), CPU)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_an_sdxl_folder(tmp_path: Path, variant: str | None) -> None:
    tiny_xl_pipeline().save_pretrained(tmp_path / "mine", variant=variant)
    warnings = _Warnings()
    diffusers.utils.logging.get_logger("diffusers").addHandler(warnings)
    config = XLConfig(path=str(tmp_path / "mine"), dtype="float16", variant=variant, width=64)
    model = build(config, CPU)
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


@pytest.mark.parametrize(
    ("held", "asked", "told"),
    [
        ({None}, "fp16", "model.variant=fp16: set model.variant=null."),
        ({"fp16"}, None, "model.variant=null: set model.variant=fp16."),
        ({"fp16"}, "bf16", "model.variant=bf16: set model.variant=fp16."),
        ({None, "fp16"}, "bf16", "model.variant=bf16: set model.variant=fp16 or model.variant=null."),
    ],
)
def test_a_folder_with_other_variants_alone_says_which(
    folder: Path, held: set[str | None], asked: str | None, told: str
) -> None:
    for variant in held - {None}:
        tiny_pipeline().save_pretrained(folder, variant=variant)
    if None not in held:
        for file in folder.glob("*/*.safetensors"):
            if file.name.count(".") == 1:
                file.unlink()
    with pytest.raises(ModelError) as caught:
        build(Config(path=str(folder), variant=asked), CPU)
    assert str(caught.value) == f"model.path={folder} holds no complete weights for {told}"


@pytest.mark.parametrize("name", ["model.fp16-00001-of-00002.safetensors", "model-00001-of-00002.fp16.safetensors"])
def test_one_part_in_a_variant_alone_is_enough(folder: Path, name: str) -> None:
    (folder / UNET).rename(folder / "unet" / name)
    with pytest.raises(ModelError, match=r"for model\.variant=null: set model\.variant=fp16\.$"):
        build(Config(path=str(folder)), CPU)


def test_a_variant_is_no_advice_where_something_else_is_missing(folder: Path) -> None:
    tiny_pipeline().save_pretrained(folder, variant="non_ema")
    (folder / SCHEDULER).unlink()
    with pytest.raises(ModelError, match=r"not a complete diffusers pipeline .*scheduler_config\.json"):
        build(Config(path=str(folder)), CPU)


def test_parts_that_are_not_loaded_decide_no_variant(folder: Path) -> None:
    tiny_pipeline().save_pretrained(folder, variant="fp16")
    (folder / UNET).unlink()
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "model.bf16.safetensors").touch()
    with pytest.raises(ModelError, match=r"for model\.variant=null: set model\.variant=fp16\.$"):
        build(Config(path=str(folder)), CPU)


def test_a_repository_of_a_variant_alone_says_which(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (folder / "unet").glob("*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    index = json.loads((folder / "model_index.json").read_text())
    monkeypatch.setattr(diffusers.DiffusionPipeline, "load_config", lambda *_, **__: index)
    message = r"^model\.path=owner/name holds no complete weights for model\.variant=null: set model\.variant=fp16\.$"
    listed = [f"{file.parent.name}/{file.name}" for file in folder.glob("*/*")]
    monkeypatch.setattr(weight_files, "hub_files", lambda *_: listed)
    with pytest.raises(ModelError, match=message):
        build(Config(path="owner/name"), CPU)
    monkeypatch.setattr(weight_files, "hub_files", lambda *_: [])  # without a network, what is in the cache
    monkeypatch.setattr(weight_files, "snapshot_download", lambda *_, **__: str(folder))
    with pytest.raises(ModelError, match=message):
        build(Config(path="owner/name"), CPU)
    monkeypatch.setattr(weight_files, "snapshot_download", lambda *_, **__: str(folder / "nothing"))
    with pytest.raises(ModelError, match=r"owner/name could not be fetched whole, or read .*`hf download owner/name`"):
        build(Config(path="owner/name"), CPU)


def test_a_checkpoint_in_one_file_is_to_become_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/sdxl.safetensors").touch()  # spelt as a hub id is
    with pytest.raises(ModelError, match=r"models/sdxl\.safetensors is a file: .*from_single_file.*save_pretrained"):
        build(Config(path="models/sdxl.safetensors"), CPU)


def test_the_folder_of_a_lora_is_no_model(tmp_path: Path) -> None:
    (tmp_path / STANDARD_FILE).touch()
    with pytest.raises(ModelError, match=r"is the folder of a LoRA: give it as model\.lora"):
        build(Config(path=str(tmp_path)), CPU)


@pytest.mark.parametrize("path", ["~/mine", "~/link", "{folder}/../link"])
def test_the_same_folder_by_another_path_is_the_same_model(
    folder: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    (folder.parent / "link").symlink_to(folder)
    config = Config(path=path.format(folder=folder))
    assert differences(model_identity(Config(path=str(folder))), config) == []
    assert build(config, CPU).name == "mine"


def test_another_schedule_is_the_same_model_and_another_identity(folder: Path) -> None:
    before = model_identity(Config(path=str(folder)))
    file = folder / "scheduler/scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "v_prediction"}))
    assert model_identity(Config(path=str(folder))) != before
    assert differences(before, Config(path=str(folder))) == []


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


def _rewrite(path: str, **changes: object) -> Callable[[Path], object]:
    def rewrite(folder: Path) -> None:
        (folder / path).write_text(json.dumps(json.loads((folder / path).read_text()) | changes))

    return rewrite


def _write(path: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_bytes(content)


def _without(path: str) -> Callable[[Path], object]:
    return lambda folder: shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()


def _without_tensor(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    del tensors["conv_in.bias"]
    save_file(tensors, folder / UNET)


def _pickled(folder: Path) -> None:
    (folder / UNET).unlink()
    tiny_pipeline().unet.save_pretrained(folder / "unet", safe_serialization=False)
    assert list((folder / "unet").glob("*.bin"))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing weights": (_without(UNET), "no file named diffusion_pytorch_model.safetensors"),
    "broken weights": (_write(UNET, b"not safetensors at all"), "not a complete"),
    "pickled weights": (_pickled, r"has \.bin files in unet, which may run code"),
    "a tensor missing": (_without_tensor, r"is damaged, its unet has no weights conv_in\.bias"),
    "weights of another width": (_rewrite("unet/config.json", cross_attention_dim=32), "expected shape"),
    "text of another width": (_rewrite("text_encoder/config.json", hidden_size=32), "of another network than its"),
    "sizes that no memory has": (_rewrite("unet/config.json", cross_attention_dim=10**12), "memory"),
    "broken index": (_write("model_index.json", b"{"), "not a complete"),
    "an index that is a list": (_write("model_index.json", b"[]"), "not a complete"),
    "an index without a class": (_write("model_index.json", b"{}"), "not a complete"),
    "a part that is a number": (_rewrite("model_index.json", unet=3), "not a complete"),
    "a part of a library that is not there": (_rewrite("model_index.json", unet=["none", "None"]), "not a complete"),
    "no text encoder": (_without("text_encoder"), "not a complete"),
    "no tokenizer": (_without("tokenizer"), "is damaged, its tokenizer has no words"),
    "a tokenizer without a model": (_rewrite("tokenizer/tokenizer.json", model={}), "not a complete"),
    "a config that is a list": (_write("unet/config.json", b"[]"), r"weights: write or copy it again\.$"),
    "a text config that is a list": (_write("text_encoder/config.json", b"[]"), "not a complete"),
    "no text config": (_without("text_encoder/config.json"), "of another network than its weights"),
    "a schedule that does not exist": (
        _rewrite("scheduler/scheduler_config.json", beta_schedule="?"),
        "not a complete",
    ),
    "timesteps that are a text": (
        _rewrite("scheduler/scheduler_config.json", num_train_timesteps="?"),
        "not a complete",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_pipeline_is_one_sentence(folder: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    change(folder)
    with pytest.raises(ModelError, match=message) as caught:
        build(Config(path=str(folder)), CPU)
    text = str(caught.value)
    assert text.startswith(f"model.path={folder} ")
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 600
