"""Training images of the world: rendered once, in parallel, into one array on disk."""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from goldennoise.data.shapes.captions import Caption, captions
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import sample_scene
from goldennoise.data.shapes.vocabulary import KINDS

KIND_SHARES = dict(zip(KINDS, (0.05, 0.17, 0.20, 0.08, 0.25, 0.25), strict=True))
CHUNK = 1000


def training_scenes(num_scenes: int, folder: Path) -> tuple[np.ndarray, list[str]]:
    """Pixels (num_scenes, 64, 64, 3), uint8, and the training caption of each."""
    pixels_file, texts_file = folder / "scenes.npy", folder / "scenes.json"
    if not texts_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            chunks = list(pool.map(_render_chunk, range(0, num_scenes, CHUNK)))
        np.save(pixels_file, np.concatenate([pixels for pixels, _ in chunks]))
        texts_file.write_text(json.dumps([text for _, texts in chunks for text in texts]))
    return np.load(pixels_file, mmap_mode="r"), json.loads(texts_file.read_text())


def draw_caption(pools: dict[str, list[Caption]], rng: np.random.Generator) -> Caption:
    """A training caption, its kind drawn by `KIND_SHARES`."""
    pool = pools[str(rng.choice(KINDS, p=list(KIND_SHARES.values())))]
    return pool[rng.integers(len(pool))]


def caption_pools(split: str) -> dict[str, list[Caption]]:
    pools: dict[str, list[Caption]] = {kind: [] for kind in KINDS}
    for caption in captions(split):
        pools[caption.kind].append(caption)
    return pools


def _render_chunk(start: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng([7, start])
    pools = caption_pools("train")
    chosen = [draw_caption(pools, rng) for _ in range(CHUNK)]
    return np.stack([render(sample_scene(caption, rng)) for caption in chosen]), [caption.text for caption in chosen]
