"""Training images of the world: rendered once, in parallel, into one array on disk."""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from goldennoise.data.shapes.training_scenes import CHUNK, TRAINING, rendered_chunk


def training_scenes(num_scenes: int, folder: Path) -> tuple[np.ndarray, list[str]]:
    """Pixels (num_scenes, 64, 64, 3), uint8, and the training caption of each."""
    pixels_file, texts_file = folder / "scenes.npy", folder / "scenes.json"
    if not texts_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            chunks = list(pool.map(partial(rendered_chunk, TRAINING), range(0, num_scenes, CHUNK)))
        np.save(pixels_file, np.concatenate([pixels for pixels, _ in chunks]))
        texts_file.write_text(json.dumps([text for _, texts in chunks for text in texts]))
    return np.load(pixels_file, mmap_mode="r"), json.loads(texts_file.read_text())
