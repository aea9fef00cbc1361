"""Tiny random models and a folder of captioned images for stage=train_model."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from tiny import tiny_pipeline, tiny_xl_pipeline

from goldennoise.config.compose import RunConfig, load

BRIEF = (
    *("num_steps=7", "save_every_steps=3", "batch_size=3"),
    *("warmup_steps=2", "images_per_part=5", "learning_rate=1e-2"),
)
MODELS = {
    "sd": ("model=shapes",),
    "xl": ("model=sdxl", "model.variant=null", "model.scheduler=ddim"),
}


def write_models(folder: Path) -> None:
    tiny_pipeline().save_pretrained(folder / "sd")
    tiny_xl_pipeline().save_pretrained(folder / "xl")


def write_images(folder: Path, num: int = 12) -> Path:
    """Random images of 40 x 32 px with captions, no two alike."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(num):
        Image.fromarray(rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", f"picture {number}"))
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "text"), *rows])
    return folder


def config(folder: Path, *overrides: str, model: str = "sd", stage: str = "train_model") -> RunConfig:
    """Of a brief training on the images and one of the models below `folder`."""
    own = (f"outputs={folder / 'outputs'}", "name=tiny", f"model.path={folder / model}", "compute.device=cpu")
    brief = [f"stage.{option}" for option in (f"images={folder / 'images'}", *BRIEF)]
    return load((f"stage={stage}", *MODELS[model], *own, *brief, *overrides))
