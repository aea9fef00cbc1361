"""Layouts of images: the formula, which image a sample gets, and folders that cannot be used."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TinyModel, as_prompts

from goldennoise.data.captioned_images import Folder, Renders
from goldennoise.data.shapes.captions import caption_of
from goldennoise.data.shapes.verifier import verify
from goldennoise.diffusion.latent_images import fitted
from goldennoise.errors import ConfigError, DataError, ModelError
from goldennoise.methods import build, identity
from goldennoise.methods.layout import Config
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.tools import MethodTools
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "a red circle", "two blue squares"]
TOOLS = MethodTools({}, lambda *_: Path())


def make_batch(seeds: tuple[int, ...] = (0, 1, 0)) -> SampleBatch:
    model = TinyModel()
    return SampleBatch(
        as_prompts(PROMPTS), list(seeds), model.encode(PROMPTS), gaussian_noise(model.latent_shape, range(3)), 5
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of the first prompt and one, of another size, of the second."""
    for number, size in enumerate([(32, 32), (32, 32), (80, 40)]):
        Image.fromarray(np.full((size[1], size[0], 3), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    rows = ["0.png,a red circle", "1.png,a red circle", '2.png,"two blue squares"']
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,text", *rows]))
    return tmp_path


@pytest.mark.parametrize("keep_norm", [True, False])
def test_golden_noise_is_source_and_layout(keep_norm: bool) -> None:
    batch, model = make_batch(), TinyModel()
    images = [Renders().image(prompt, seed, 5) for prompt, seed in zip(PROMPTS, batch.seeds, strict=True)]
    latents = model.encode_images(images)
    expected = batch.source + 0.2 * (latents - latents.mean((2, 3), keepdim=True))
    if keep_norm:
        norms = [noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for noise in (batch.source, expected)]
        expected = expected * norms[0] / norms[1]
    golden = build(Config(strength=0.2, keep_norm=keep_norm), TOOLS).golden(model, batch)
    torch.testing.assert_close(golden, expected)
    assert model.num_evaluations == 0


@pytest.mark.parametrize("part", ["layout", "tone", "whole"])
def test_parts_of_the_image(part: str) -> None:
    batch, model = make_batch(), TinyModel()
    images = [Renders().image(prompt, seed, 5) for prompt, seed in zip(PROMPTS, batch.seeds, strict=True)]
    latents = model.encode_images(images)
    mean = latents.mean((2, 3), keepdim=True)
    expected = {"layout": latents - mean, "tone": mean.expand_as(latents), "whole": latents}[part]
    drawn = build(Config(part=part, strength=0.2, keep_norm=False), TOOLS).golden(model, batch)
    torch.testing.assert_close(drawn, batch.source + 0.2 * expected)
    diffused = build(Config(part=part, strength=None, keep_norm=False), TOOLS).golden(model, batch)
    alpha_bar = model.alpha_bar_of_start()
    torch.testing.assert_close(diffused, alpha_bar**0.5 * expected + (1 - alpha_bar) ** 0.5 * batch.source)


@pytest.mark.parametrize("part", ["tone", "whole"])
def test_the_tone_of_an_image_is_not_added_to_that_of_another(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, model = make_batch(), TinyModel()
    monkeypatch.setattr(TinyModel, "is_toned", True)
    with pytest.raises(ModelError, match=f"part={part} at strength null adds the tone .* set model.tone=null"):
        build(Config(part=part, strength=None), TOOLS).golden(model, batch)
    build(Config(strength=None), TOOLS).golden(model, batch)


def test_a_render_is_true_of_its_caption_and_every_seed_has_its_own() -> None:
    one, other, third = (Renders().image("two blue squares", *seeds) for seeds in ((0, 5), (1, 5), (0, 6)))
    assert not torch.equal(one, other)
    assert not torch.equal(one, third)
    caption = caption_of("two blue squares")
    assert caption is not None
    for image in (one, other, third):
        assert image.shape == (3, 64, 64)
        assert verify((image.permute(1, 2, 0) * 255).round().byte().numpy(), caption).right


def test_the_images_of_a_prompt_take_turns(folder: Path) -> None:
    images = Folder(str(folder))
    shades = [float(images.image("a red circle", seed, 0).mean()) * 255 for seed in range(3)]
    assert shades == pytest.approx([0, 60, 0])
    golden = build(Config(images=str(folder)), TOOLS).golden(TinyModel(), make_batch())
    assert golden.isfinite().all()


def test_the_images_are_known_by_their_content(folder: Path) -> None:
    def known(path: Path) -> dict[str, object]:
        return identity(Config(images=str(path)))

    first = known(folder)
    moved = folder.rename(folder.with_name("moved"))
    assert known(moved) == first
    Image.fromarray(np.full((32, 32, 3), 9, np.uint8)).save(moved / "1.png")
    assert known(moved) != first
    (moved / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png is missing, and metadata\.csv names it"):
        known(moved)
    assert identity(Config())["images"] == "renders"


@pytest.mark.parametrize("prompt", ["a red circle ", " A Red  circle"])
def test_case_and_spaces_make_no_other_prompt(folder: Path, prompt: str) -> None:
    with (folder / "metadata.csv").open("a") as table:
        table.write("\n2.png, A RED circle ")
    shades = [float(Folder(str(folder)).image(prompt, seed, 0).mean()) * 255 for seed in range(3)]
    assert shades == pytest.approx([0, 60, 120])


def test_a_photograph_is_turned_upright(folder: Path) -> None:
    upright = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20)
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    stored.save(folder / "0.png", exif=exif)
    image = Folder(str(folder)).image("a red circle", 0, 0)
    assert torch.equal((image * 255).round().byte(), torch.from_numpy(np.array(upright)).permute(2, 0, 1))


def test_metadata_that_is_none_is_told_with_the_file(folder: Path) -> None:
    Image.new("RGB", (2, 2)).save(folder / "0.png", exif=b"no TIFF file")
    with pytest.raises(DataError, match=r"0\.png cannot be read \(.*\); replace the file"):
        Folder(str(folder)).image("a red circle", 0, 0)


def test_a_prompt_without_an_image_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r'metadata\.csv has no image of "a star": collect with its own texts'):
        Folder(str(folder)).image("a star", 0, 0)
    with pytest.raises(DataError, match='"a dog" is no caption of the shapes world'):
        Renders().image("a dog", 0, 0)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (None, "metadata.csv: no such file"),
        ("file_name,caption\n0.png,a red circle\n", "metadata.csv needs the columns file_name and text"),
        ('file_name,text\n0.png,"a red\n', "metadata.csv, line 2: a quote is not closed"),
        ("file_name,text,text\n0.png,a,b\n", "metadata.csv, line 1: the header names text twice"),
        ("file_name,text\n0.png,a red circle, filled\n", "metadata.csv, line 2: 3 fields, the header names 2"),
        ("file_name,text\n" + "x" * 300 + ",a red circle\n", "(File name too long), and metadata.csv names it"),
    ],
)
def test_a_folder_without_a_table_of_captions_is_refused(folder: Path, table: str | None, expected: str) -> None:
    path = folder / "metadata.csv"
    path.unlink()
    if table is not None:
        path.write_text(table)
    with pytest.raises(DataError, match=re.escape(expected)):
        identity(Config(images=str(folder)))


def test_a_folder_in_the_home_folder(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert identity(Config(images=f"~/{folder.name}")) == identity(Config(images=str(folder)))


@pytest.mark.parametrize("option", [{"images": ""}, {"strength": -0.1}, {"strength": float("inf")}])
def test_options_out_of_range_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))):
        Config(**option)  # type: ignore[arg-type]


def test_images_are_cropped_around_the_centre_and_resized() -> None:
    wide = torch.zeros(3, 40, 80)
    wide[:, :, 20:60] = 1.0
    assert torch.equal(fitted(wide, 20, 20), torch.ones(3, 20, 20))
    assert fitted(torch.rand(3, 30, 70), 32, 64).shape == (3, 32, 64)
    same = torch.rand(3, 20, 30)
    assert fitted(same, 20, 30) is same
