"""Images of a folder: their order, what every kind of file reads as, and what is refused by name."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goldennoise.errors import DataError
from goldennoise.evaluation.image_folder import find_images, image_digests, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def test_numbers_count_as_numbers_and_what_is_hidden_or_no_image_is_left_out(tmp_path: Path) -> None:
    for name in ("10.png", "2.JPG", "1.webp", "b/0.png", "a/1.jpeg", "a/0.png", ".a.png", ".cache/0.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert find_images(tmp_path) == ["1.webp", "2.JPG", "10.png", "a/0.png", "a/1.jpeg", "b/0.png"]


def test_no_folder_and_no_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder of images"):
        find_images(tmp_path / "gone")
    with pytest.raises(DataError, match="holds no images"):
        find_images(tmp_path)


def test_colours_are_kept(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.png")
    PICTURE.save(tmp_path / "a.webp", lossless=True)
    for name in ("a.png", "a.webp"):
        np.testing.assert_array_equal(read_image(tmp_path / name), PIXELS.astype(np.float32) / 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_opaque_images_of_every_mode_read_as_in_rgb(tmp_path: Path, mode: str) -> None:
    image = PICTURE.convert(mode)
    image.save(tmp_path / "a.png")
    expected = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    image = PICTURE.convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.uint8([[0], [255]]), [45, 45], axis=0).repeat(70, axis=1)))
    image.save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert (read[:45] == 1).all()
    np.testing.assert_array_equal(read[45:], PIXELS[45:].astype(np.float32) / 255)


def test_16_bit_grey_keeps_its_depth(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1], [32768, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    expected = np.array([[0, 1], [32768, 65535]], dtype=np.float32) / 65535
    for channel in range(3):
        np.testing.assert_array_equal(read_image(tmp_path / "a.png")[:, :, channel], expected)


def cut_short(path: Path) -> None:
    PICTURE.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def animated(path: Path) -> None:
    PICTURE.save(path, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("a.png", Path.touch, "a.png is empty; replace the file"),
        ("a.png", lambda path: path.write_text("text"), "a.png is no PNG, JPEG or WebP image"),
        ("a.png", cut_short, "a.png cannot be read (Truncated File Read)"),
        ("a.webp", cut_short, "a.webp cannot be read"),
        ("a.png", lambda path: path.symlink_to("gone"), "a.png cannot be read ([Errno 2]"),
        ("a.jpg", lambda path: PICTURE.convert("CMYK").save(path), "a.jpg has the colour mode CMYK"),
        ("a.webp", animated, "a.webp holds 2 frames"),
    ],
)
def test_what_cannot_be_read_is_named_before_anything_is_scored(tmp_path: Path, name, make, expected) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / name)
    with pytest.raises(DataError, match=re.escape(expected)):
        image_digests(tmp_path, [name], lambda: None)


def test_a_jpeg_that_is_cut_short_is_named_when_it_is_read(tmp_path: Path) -> None:
    cut_short(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg cannot be read"):
        read_image(tmp_path / "a.jpg")


def test_all_refused_images_are_named(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "b.png")
    for name in ("a.png", "c.png"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"a\.png is empty; .* \(and 1 more: c\.png\)"):
        image_digests(tmp_path, find_images(tmp_path), lambda: None)
