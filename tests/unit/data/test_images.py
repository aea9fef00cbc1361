"""Images of a folder: their order, what every kind of file reads as, and what is refused by name."""

import hashlib
import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from goldennoise.data.images import find_files, find_images, image_digests, missing_number, read_image
from goldennoise.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def write_png(path: Path, header: bytes, rows: bytes) -> None:
    """A PNG of these bytes: for headers that Pillow does not write."""
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(rows), b"IEND": b""}
    written = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))


def test_numbers_count_as_numbers_and_what_is_hidden_or_no_image_is_left_out(tmp_path: Path) -> None:
    for name in ("10.png", "2.JPG", "1.webp", "b/0.png", "a/1.jpeg", "a/0.png", ".a.png", ".cache/0.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert find_images(tmp_path) == ["1.webp", "2.JPG", "10.png", "a/0.png", "a/1.jpeg", "b/0.png"]


def test_links_to_folders_are_followed_without_loops(tmp_path: Path) -> None:
    for name in ("elsewhere/1.png", "images/sub/0.png", "images/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images = tmp_path / "images"
    for link, target in (("a", "../elsewhere"), ("b", "../elsewhere"), ("sub/up", ".."), ("itself", "itself")):
        (images / link).symlink_to(target)
    (tmp_path / "elsewhere/back").symlink_to(images)
    (tmp_path / "link").symlink_to(images)
    for folder in (images, tmp_path / "link"):
        assert find_images(folder) == ["a/1.png", "b/1.png", "sub/0.png"]
        others = [name for name in find_files(folder) if not name.endswith(".png")]
        assert others == [".hidden", "a/back", "b/back", "itself", "sub/up"]


def test_grids_are_no_images(tmp_path: Path) -> None:
    for name in ("grid.png", "a/grid-0001.jpg", "a red bird-grid-00000.png", "side_by_side.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="holds no images"):
        find_images(tmp_path)
    for name in ("grid_0.png", "power-grid.png", "grid 1.png"):
        (tmp_path / name).touch()
    assert find_images(tmp_path) == ["grid 1.png", "grid_0.png", "power-grid.png"]


def test_no_folder_and_no_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder of images"):
        find_images(tmp_path / "gone")
    with pytest.raises(DataError, match="cannot be opened"):
        find_images(tmp_path / ("x" * 300))
    with pytest.raises(DataError, match="holds no images"):
        find_images(tmp_path)


def test_a_name_that_is_not_utf_8_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "日本\u3000語.png").touch()
    assert find_images(tmp_path) == ["日本\u3000語.png"]
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).touch()
    with pytest.raises(DataError, match=re.escape(r"the file name '\udcff.png' is not UTF-8; rename the file")):
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


def test_16_bit_colour_is_read_with_its_upper_8_bits(tmp_path: Path) -> None:
    row = b"\0" + struct.pack(">3H", 0x00FF, 0x8000, 0xFFFF)
    write_png(tmp_path / "a.png", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0), row)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, 0], np.float32([0, 128, 255]) / np.float32(255))


def test_exif_orientation_is_left_alone(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[274] = 6
    PICTURE.save(tmp_path / "a.png", exif=turned)
    assert read_image(tmp_path / "a.png").shape == PIXELS.shape


@pytest.mark.parametrize("orientation", range(10))
def test_upright_as_pillow_turns_it_whatever_else_the_metadata_holds(tmp_path: Path, orientation: int) -> None:
    turned = Image.Exif()
    turned[274], turned[270] = orientation, "a title"
    stream = io.BytesIO()
    PICTURE.save(stream, "JPEG", exif=turned)
    stream.seek(0)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(stream)))
    # The title becomes a tag of another type, which Pillow cannot write.
    content = stream.getvalue().replace(b"\x01\x0e\x00\x02", b"\x01\x1a\x00\x02")
    assert content != stream.getvalue()
    (tmp_path / "a.jpg").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg", upright=True) * 255, expected)


def test_a_digest_per_image_in_their_order(tmp_path: Path) -> None:
    for name, pixels in (("a.png", PIXELS), ("b.png", 255 - PIXELS)):
        Image.fromarray(pixels).save(tmp_path / name)
    seen: list[None] = []
    found = image_digests(tmp_path, ["b.png", "a.png"], lambda: seen.append(None))
    assert found == [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("b.png", "a.png")]
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0.png", "1.png", "3.png", "6.png"], ("1.png", "3.png")),
        (["a/7.png", "a/9.jpg", "a/11.jpg"], ("a/9.jpg", "a/11.jpg")),
        (["v2/08.png", "v2/10.png"], ("v2/08.png", "v2/10.png")),
        (["0-0.png", "0-1.png", "1-0.png", "1-1.png"], None),
        (["0.png", "1.png", "a5.png", "b.png"], None),
        (["1.png", "01.png"], None),
        (["3.png"], None),
    ],
)
def test_a_number_left_out_is_found(names: list[str], expected: tuple[str, str] | None) -> None:
    assert missing_number(names) == expected


def cut_short(path: Path) -> None:
    PICTURE.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def enormous(path: Path) -> None:
    write_png(path, struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0), b"")


def flipped(path: Path) -> None:
    PICTURE.save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def animated(path: Path) -> None:
    PICTURE.save(path, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("a.png", Path.touch, "a.png is empty; replace the file"),
        ("a.png", lambda path: path.write_text("text"), "a.png is no PNG, JPEG or WebP image"),
        ("a.png", cut_short, "a.png cannot be read ("),
        ("a.png", flipped, "a.png cannot be read ("),
        ("a.jpg", cut_short, "a.jpg cannot be read ("),
        ("a.webp", cut_short, "a.webp cannot be read ("),
        ("a.png", lambda path: path.symlink_to("gone"), "a.png cannot be read ([Errno 2]"),
        ("a.jpg", lambda path: PICTURE.convert("CMYK").save(path), "a.jpg has the colour mode CMYK"),
        ("a.webp", animated, "a.webp holds 2 frames"),
        ("a.png", os.mkfifo, "a.png is no file; replace the file"),
        ("a.png", lambda path: PICTURE.save(path, format="BMP"), "a.png is no PNG, JPEG or WebP image"),
        ("a.png", lambda path: write_png(path, b"\0\0", b""), "a.png cannot be read (Truncated IHDR chunk)"),
        ("a.png", enormous, "a.png cannot be read (Image size (400000000 pixels) exceeds"),
    ],
)
def test_what_cannot_be_read_is_named_before_anything_is_scored(tmp_path: Path, name, make, expected) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / name)
    with pytest.raises(DataError, match=re.escape(expected)):
        image_digests(tmp_path, [name], lambda: None)


def test_all_refused_images_are_named(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "b.png")
    for name in ("a.png", "c.png"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"a\.png is empty; .* \(and 1 more: c\.png\)"):
        image_digests(tmp_path, find_images(tmp_path), lambda: None)
