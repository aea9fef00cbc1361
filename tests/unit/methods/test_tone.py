"""Controls of the noise: tone and norm."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TinyModel, as_prompts

from goldennoise.data.captioned_images import Renders
from goldennoise.diffusion.tone import Tones, tones_of
from goldennoise.errors import ConfigError, ModelError
from goldennoise.methods import build, identity, re_denoise, scaled
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.tone import Config
from goldennoise.methods.tools import MethodTools
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a red circle"]
TOOLS = MethodTools({}, lambda *_: Path())


def make_batch(num: int = 3) -> SampleBatch:
    model = TinyModel()
    prompts = (PROMPTS * num)[:num]
    source = gaussian_noise(model.latent_shape, range(num))
    return SampleBatch(as_prompts(prompts), list(range(num)), model.encode(prompts), source, 5)


def test_the_tone_is_that_of_one_of_the_images() -> None:
    batch, model = make_batch(40), TinyModel()
    golden = build(Config(num_images=16), TOOLS).golden(model, batch)
    alpha_bar, own = model.alpha_bar_of_start(), batch.source.mean((2, 3))
    drawn = (golden.mean((2, 3)) - (1 - alpha_bar) ** 0.5 * own) / alpha_bar**0.5
    known = tones_of(model, Renders().some(16)).channel_means
    distances, nearest = torch.cdist(drawn, known).min(dim=1)
    assert float(distances.max()) < 1e-2
    assert len(set(nearest.tolist())) > 8, "samples have tones of their own"
    torch.testing.assert_close(golden - golden.mean((2, 3), keepdim=True), batch.source - own[..., None, None])


def test_images_are_encoded_before_the_first_batch_and_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, model, sizes = make_batch(), TinyModel(), list[int]()
    encode = model.encode_images
    monkeypatch.setattr(model, "encode_images", lambda images: sizes.append(len(images)) or encode(images))
    chosen = {"tone": Config(num_images=20, keep_norm=True)}
    method = build(scaled.Config(norm_of="tone"), MethodTools({}, TOOLS.artifact_folder, chosen))
    method.prepare(model)
    assert sizes == [8, 8, 4]
    method.golden(model, batch)
    assert sizes == [8, 8, 4]


def test_dark_and_light() -> None:
    batch, model = make_batch(), TinyModel()
    tones = tones_of(model, Renders().some(16))
    dark, light = (build(Config(num_images=16, of=name), TOOLS).golden(model, batch) for name in ("dark", "light"))
    between = (light - dark).mean((2, 3)) / model.alpha_bar_of_start() ** 0.5
    is_dark = tones.lightness < 127.5
    expected = tones.channel_means[~is_dark].mean(0) - tones.channel_means[is_dark].mean(0)
    torch.testing.assert_close(between, expected.expand(3, -1), rtol=1e-3, atol=1e-3)


def test_a_file_or_a_folder_gives_the_tones(tmp_path: Path) -> None:
    rows = ["file_name,text"]
    for number, shade in enumerate((20, 30, 220)):
        Image.fromarray(np.full((32, 32, 3), shade, np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,picture {number}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    batch, model = make_batch(), TinyModel()
    from_folder = build(Config(images=str(tmp_path)), TOOLS).golden(model, batch)
    images = [torch.full((3, 32, 32), shade / 255) for shade in (20, 30, 220)]
    tones_of(model, images).save(tmp_path / "tones.safetensors")
    from_file = Config(images=str(tmp_path / "tones.safetensors"))
    torch.testing.assert_close(build(from_file, TOOLS).golden(model, batch), from_folder)
    known = identity(from_file)
    moved = (tmp_path / "tones.safetensors").rename(tmp_path / "moved.safetensors")
    assert identity(Config(images=str(moved), num_images=3)) == known
    tones_of(model, images[:2]).save(moved)
    assert identity(Config(images=str(moved))) != known


def test_scaled_by_a_factor_or_to_the_norm_of_a_method() -> None:
    batch, model = make_batch(), TinyModel()
    assert torch.equal(build(scaled.Config(factor=0.5), TOOLS).golden(model, batch), 0.5 * batch.source)
    tools = MethodTools({}, TOOLS.artifact_folder, {"mine": re_denoise.Config(num_rounds=3), "to": scaled.Config()})
    golden = build(tools.methods["mine"], tools).golden(model, batch)
    found = build(scaled.Config(norm_of="mine", factor=0.9), tools).golden(model, batch)
    torch.testing.assert_close(found.flatten(1).norm(dim=1), 0.9 * golden.flatten(1).norm(dim=1))
    cosines = torch.cosine_similarity(found.flatten(1), batch.source.flatten(1))
    torch.testing.assert_close(cosines, torch.ones(3))


def test_mistakes() -> None:
    with pytest.raises(ConfigError, match=r"^of=grey: of must be one of other, dark, light, gaussian"):
        Config(of="grey")
    with pytest.raises(ConfigError, match="factor=0: factor must be a finite number above 0"):
        scaled.Config(factor=0)
    tools = MethodTools({}, TOOLS.artifact_folder, {"standard": scaled.Config()})
    with pytest.raises(ConfigError, match="norm_of=standard: scaled needs another method of the run; the run has none"):
        build(scaled.Config(norm_of="standard"), tools)


def test_tones_of_another_vae_and_damaged_files(tmp_path: Path) -> None:
    file = tmp_path / "tones.safetensors"
    Tones(torch.zeros(5, 16), torch.zeros(5)).save(file)
    with pytest.raises(ModelError, match="tones are of latents with 16 channels, and those of this model have 4"):
        build(Config(images=str(file)), TOOLS).golden(TinyModel(), make_batch())
    with pytest.raises(ModelError, match=r"none\.safetensors is no file: give a \.safetensors file of tones"):
        identity(Config(images=str(tmp_path / "none.safetensors")))
    file.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=re.escape(str(file))):
        build(Config(images=str(file)), TOOLS).golden(TinyModel(), make_batch())
