"""The stage: from captioned images to a model artifact, which diffusers and the other stages load."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from unit.training.denoiser.tiny_models import config, write_images, write_models

from goldennoise.config.compose import load, located
from goldennoise.data.training_images import FolderImages
from goldennoise.diffusion.identity import model_identity
from goldennoise.diffusion.latent_images import LatentImages
from goldennoise.diffusion.loading import load_pipeline
from goldennoise.diffusion.lora import STANDARD_FILE
from goldennoise.errors import ArtifactError, ConfigError, DataError, ModelError
from goldennoise.stages import eval as eval_stage
from goldennoise.stages import train_model
from goldennoise.store.drafts import Lock
from goldennoise.training.denoiser import fit

SCRATCH = ("stage.train_text_encoder=true", "noise_levels=laplace")
LORA = ("stage.lora_rank=2",)
PIPELINES = {"sd": StableDiffusionPipeline, "xl": StableDiffusionXLPipeline}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_models(tmp_path)
    write_images(tmp_path / "images")
    return tmp_path


def output(pipe: Any) -> torch.Tensor:
    """Of the UNet for one prompt."""
    text, _, *pooled = pipe.encode_prompt(
        "red", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    added = {"text_embeds": pooled[0], "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]])} if pooled else None
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return pipe.unet(latents, 500, text, added_cond_kwargs=added).sample


def test_diffusers_loads_what_was_trained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = train_model.run(config(folder, *SCRATCH))
    assert artifact.reference == "model/tiny@v1"
    pipe = StableDiffusionPipeline.from_pretrained(artifact.path)
    assert pipe(["red"], num_inference_steps=2, output_type="np").images.shape == (1, 32, 32, 3)
    before = StableDiffusionPipeline.from_pretrained(folder / "sd")
    for part in ("unet", "text_encoder"):
        old, new = (getattr(each, part).state_dict() for each in (before, pipe))
        assert old.keys() == new.keys()
        assert not any(torch.equal(old[name], new[name]) for name in old if new[name].std() > 0)
    tokenizers = [path / "tokenizer/tokenizer.json" for path in (artifact.path, folder / "sd")]
    assert tokenizers[0].read_bytes() == tokenizers[1].read_bytes()

    counts, history = artifact.record["counts"], pd.read_csv(artifact.path / "training.csv")
    assert (counts["images"], counts["validation_images"], counts["steps"]) == (11, 1, 7)
    trained = sum(weight.numel() for part in (pipe.unet, pipe.text_encoder) for weight in part.parameters())
    assert counts["parameters"] == trained
    assert history["step"].tolist() == [3, 6, 7]
    errors = pd.read_parquet(artifact.path / "validation.parquet")
    assert errors["timestep"].tolist() == [41, 125, 208, 291, 375, 458, 541, 625, 708, 791, 875, 958]
    assert errors["log_snr"].is_monotonic_decreasing
    assert errors["error"].mean() == counts["val_error"] == history["val_error"].iloc[-1]
    assert not (artifact.path / "work").exists()
    assert artifact.damaged() == []

    capsys.readouterr()
    sampled_otherwise = ("model.guidance=2", "model.num_steps=9")
    assert train_model.run(config(folder, *SCRATCH, *sampled_otherwise)).path == artifact.path
    assert capsys.readouterr().out == "model/tiny@v1 is complete.\n"


def test_a_killed_training_ends_as_one_that_was_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = train_model.run(config(folder, *SCRATCH, f"outputs={folder / 'other'}"))
    encoded: list[int] = []
    encode = LatentImages.encode_images

    class Killed(Exception):  # noqa: N818
        """In the middle."""

    def some(self: LatentImages, images: Any) -> torch.Tensor:
        if len(encoded) == 2:
            encoded.append(0)
            raise Killed
        encoded.append(len(images))
        return encode(self, images)

    class DiesAtStep5(fit.DenoiserTraining):
        def on_train_batch_start(self, *_: object) -> None:
            super().on_train_batch_start()
            if self.global_step == 4:
                raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LatentImages, "encode_images", some)
        with pytest.raises(Killed):
            train_model.run(config(folder, *SCRATCH))
        patched.setattr(fit, "DenoiserTraining", DiesAtStep5)
        with pytest.raises(Killed):
            train_model.run(config(folder, *SCRATCH))
    assert sum(encoded) == 12
    # Processes that load data begin before Lightning tells them which epoch it is.
    resumed = train_model.run(config(folder, *SCRATCH, "compute.num_workers=1"))
    assert resumed.record["files"] == long.record["files"]
    assert resumed.record["counts"] == long.record["counts"]


def test_trainings_on_the_same_images_share_their_latents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_model.run(config(folder, *SCRATCH))
    (latents,) = (folder / "outputs/latents").iterdir()
    names = [path.name for path in latents.glob("*.safetensors")]
    assert sorted(names) == ["0-5.safetensors", "10-12.safetensors", "5-10.safetensors"]
    (latents / "5-10.safetensors").write_bytes(b"damaged")
    encoded: list[int] = []
    encode = LatentImages.encode_images
    monkeypatch.setattr(
        LatentImages, "encode_images", lambda self, images: (encoded.append(len(images)), encode(self, images))[1]
    )
    train_model.run(config(folder, "seed=1", "noise_levels=cosine", "name=other"))
    assert sum(encoded) == 5, "the damaged part alone"
    # Other images have latents of their own.
    write_images(folder / "more")
    shutil.copy(folder / "more/1.png", folder / "more/0.png")
    train_model.run(config(folder, f"stage.images={folder / 'more'}", "name=more"))
    assert sum(encoded) == 5 + 12


def test_latents_are_locked_while_they_are_encoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    encode = LatentImages.encode_images

    def beside_another_run(self: LatentImages, images: Any) -> torch.Tensor:
        (latents,) = (folder / "outputs/latents").iterdir()
        with pytest.raises(ArtifactError) as raised:
            Lock(latents / ".lock")
        refused.append(str(raised.value))
        return encode(self, images)

    monkeypatch.setattr(LatentImages, "encode_images", beside_another_run)
    train_model.run(config(folder, *SCRATCH))
    assert len(refused) == 3
    (latents,) = (folder / "outputs/latents").iterdir()
    Lock(latents / ".lock").release()


def test_what_dropout_draws_depends_on_seed_and_step(folder: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(folder / "sd")
    pipe.unet = UNet2DConditionModel.from_config({**pipe.unet.config, "dropout": 0.5})
    pipe.save_pretrained(folder / "sd")
    files = []
    for number in range(2):
        torch.manual_seed(number)
        files.append(train_model.run(config(folder, f"name=run{number}", "stage.num_steps=2")).record["files"])
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("sizes", "needed"), [({"time_cond_proj_dim": 8}, "the guidance scale"), ({"in_channels": 9}, "a mask")]
)
def test_a_unet_that_takes_more_than_noise_and_text_is_refused(
    folder: Path, sizes: dict[str, int], needed: str
) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(folder / "sd")
    pipe.unet = UNet2DConditionModel.from_config({**pipe.unet.config, **sizes})
    pipe.save_pretrained(folder / "sd")
    with pytest.raises(ModelError, match=f"takes {needed} at every step, which captioned images do not have"):
        train_model.run(config(folder))


@pytest.mark.parametrize("model", ["sd", "xl"])
def test_a_lora_from_a_folder_of_images(folder: Path, model: str) -> None:
    artifact = train_model.run(config(folder, *LORA, model=model, stage="train_model_lora"))
    merged, added, before = (PIPELINES[model].from_pretrained(path) for path in (artifact.path, *[folder / model] * 2))
    added.load_lora_weights(artifact.path)
    assert (output(before) - output(merged)).abs().max() > 1e-3
    torch.testing.assert_close(output(added), output(merged), rtol=0, atol=1e-5)
    weights = load_file(artifact.path / STANDARD_FILE)
    assert all(".attn" in name and name.startswith("unet.") for name in weights)
    assert artifact.record["counts"]["parameters"] == sum(weight.numel() for weight in weights.values())
    for part in ("text_encoder", "vae"):
        old, new = (getattr(each, part).state_dict() for each in (before, merged))
        assert all(torch.equal(old[name], new[name]) for name in old)


def test_an_xl_model_learns_from_its_own_weights(folder: Path) -> None:
    artifact = train_model.run(config(folder, "stage.init=weights", "stage.train_text_encoder=false", model="xl"))
    before, after = (StableDiffusionXLPipeline.from_pretrained(path) for path in (folder / "xl", artifact.path))
    assert 1e-3 < (output(after) - output(before)).abs().max() < 10


def test_zero_terminal_snr_is_written_as_diffusers_reads_it(folder: Path) -> None:
    artifact = train_model.run(config(folder, "stage.zero_terminal=true", "stage.loss_weight=none"))
    scheduler = StableDiffusionPipeline.from_pretrained(artifact.path).scheduler
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.rescale_betas_zero_snr
    assert scheduler.config.timestep_spacing == "trailing"
    assert scheduler.alphas_cumprod[-1] == 0
    scheduler.set_timesteps(3)
    assert scheduler.timesteps[0] == 999
    assert pd.read_csv(artifact.path / "training.csv").notna().all(axis=None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stage.zero_terminal=true", "stage.prediction=epsilon"], "prediction=epsilon: prediction must be null or v"),
        (["stage.zero_terminal=true"], "loss_weight must be none with zero_terminal"),
        (["stage.lora_rank=4"], "stage.lora_rank=4: lora_rank must be null with init=scratch"),
        (["stage.init=weights", "stage.lora_rank=4"], "lora_rank must be null with train_text_encoder=true"),
        (["stage.init=weights", "stage.unet={layers_per_block: 2}"], "unet must be null with init=weights"),
        (["stage.unet={layer_per_block: 2}"], "did you mean layers_per_block?"),
        (["stage.unet={layers_per_block: 0}"], "layers_per_block must be sizes above 0"),
        (["stage.unet={in_channels: 2}"], "unet.in_channels: no size of a UNet that can be set"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(["stage=train_model", *overrides])
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=sd35"], "model.kind=stable_diffusion_3: train_model trains UNets on noise schedules, those of"),
        (["model=sdxl"], "stage.train_text_encoder=true: the text encoders of stable_diffusion_xl stay as they are"),
        (["stage.batch_size=1", "compute.devices=2"], "stage.batch_size=1: 2 devices share a batch; set at least 2"),
    ],
)
def test_what_cannot_be_trained_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        train_model.run(load(["stage=train_model", *overrides]))
    assert message in str(raised.value)


def test_sizes_that_fit_no_unet_are_one_sentence(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no UNet can be built so .*; choose sizes that fit each other"):
        train_model.run(config(folder, "stage.unet={norm_num_groups: 7}"))
    assert not list(folder.rglob("latents"))


def test_a_density_outside_the_schedule_is_one_sentence(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"Only .*% of these noise levels lie between"):
        train_model.run(config(folder, "noise_levels=laplace", "noise_levels.mean=40"))
    assert not list(folder.rglob("latents")), "no image is encoded before"


def test_a_caption_without_an_image_is_named(folder: Path) -> None:
    (folder / "images/7.png").unlink()
    with pytest.raises(DataError, match=r"7.png is missing, and metadata.csv names it"):
        train_model.run(config(folder))


def test_an_image_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "images/7.png").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"7.png is no PNG, JPEG or WebP image"):
        train_model.run(config(folder))


def test_one_image_is_too_few(tmp_path: Path) -> None:
    write_images(tmp_path / "images", num=1)
    with pytest.raises(DataError, match=r"has 1 image, and 2 are needed"):
        FolderImages(str(tmp_path / "images"), 256)


def test_other_stages_take_the_model_by_its_reference(folder: Path) -> None:
    for _ in range(2):
        train_model.run(config(folder, "stage.init=weights", "stage.train_text_encoder=false", "stage.num_steps=2"))
    common = (f"outputs={folder / 'outputs'}", "name=seen", "model.num_steps=2", "stage.num_prompts=1")
    small = ("stage.num_seeds=1", "scorer=[shapes_clip]", "method=[standard]", "model.path=model/tiny@latest")
    config_of_eval = located(load(["stage=eval", *common, *small]))
    scores = eval_stage.run(config_of_eval)
    assert scores.recorded("identity", "model", "path") == "model/tiny@v1"
    assert "model/tiny@v1" in (scores.path / "summary.json").read_text()
    assert scores.recorded("config", "model", "path") == str(folder / "outputs/model/tiny/v1")
    by_folder = load(["stage=eval", *common, f"model.path={folder / 'outputs/model/tiny/v1'}"])
    assert model_identity(by_folder.model)["path"] == "model/tiny@v1"
    # A training begins with it too.
    again = train_model.run(replace(config(folder, "stage.num_steps=1", "name=more"), model=config_of_eval.model))
    assert again.recorded("identity", "model", "path") == "model/tiny@v1"


def test_a_model_artifact_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no model artifact called mine in .* stage=train_model"):
        located(load(["stage=eval", f"outputs={tmp_path}", "model.path=model/mine"]))


def test_a_damaged_model_artifact_is_not_loaded(folder: Path) -> None:
    artifact = train_model.run(config(folder, "stage.num_steps=1"))
    file = artifact.path / "unet/diffusion_pytorch_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is damaged: its checksum .* run the train_model command again"):
        load_pipeline(str(artifact.path), None, torch.float32, ["StableDiffusionPipeline"])
