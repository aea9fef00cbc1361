"""The images that a model is trained on: which there are, in which order, and which are held out."""

import csv
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from goldennoise.data.shapes.training_scenes import HELD_OUT, TRAINING, drawn_captions, rendered_chunk
from goldennoise.data.training_images import FolderImages, RenderedImages


def test_renders_are_those_that_the_packaged_world_learnt_from() -> None:
    pixels, captions = rendered_chunk(TRAINING, 0)
    digest = "347858a753defe6a26c323356f1a9aebc7e803ff5a102f2b3502af245b493630"
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == digest
    assert captions[:2] == [
        "an image of a blue cross left of a cyan circle",
        "an image of a blue ring and a yellow cross",
    ]
    images = RenderedImages(num_images=3, num_held_out=2)
    assert images.captions == captions[:3] + drawn_captions(HELD_OUT, 2)
    shown = [images.image(number).permute(1, 2, 0).numpy() for number in range(5)]
    np.testing.assert_array_equal([(image * 255).round().astype(np.uint8) for image in shown[:3]], pixels[:3])
    np.testing.assert_allclose(shown[3:], rendered_chunk(HELD_OUT, 0)[0][:2] / 255, atol=1e-6)
    assert images.digest != RenderedImages(num_images=4, num_held_out=2).digest


def test_a_tenth_of_a_folder_is_held_out_and_comes_last(tmp_path: Path) -> None:
    rows = [(f"{number}.png", f"grey {number}") for number in range(30)]
    for number, (name, _) in enumerate(rows):
        Image.new("L", (4, 4), number).save(tmp_path / name)
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "text"), *rows])
    images = FolderImages(str(tmp_path), num_held_out=256)
    assert images.num_held_out == 3
    assert sorted(images.captions) == sorted(text for _, text in rows)
    assert [f"grey {round(float(images.image(number).mean()) * 255)}" for number in range(30)] == images.captions
    assert images.captions[:27] == [text for _, text in rows if text not in images.captions[27:]]
    assert FolderImages(str(tmp_path), num_held_out=2).captions[28:] <= images.captions[27:]
    before = images.digest
    Image.new("L", (4, 4), 200).save(tmp_path / "4.png")
    assert FolderImages(str(tmp_path), num_held_out=256).digest != before
