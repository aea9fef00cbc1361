"""The scenes that the world's networks learn from: captions of the training split, drawn and rendered in chunks."""

from collections.abc import Iterator, Sequence

import numpy as np

from goldennoise.data.shapes.captions import Caption, captions
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import sample_scene
from goldennoise.data.shapes.vocabulary import KINDS

KIND_SHARES = dict(zip(KINDS, (0.05, 0.17, 0.20, 0.08, 0.25, 0.25), strict=True))
CHUNK = 1000
"""Scenes that one generator draws, one after the other."""
TRAINING, HELD_OUT = 7, 13
"""Seeds of the streams of chunks."""


def draw_caption(pools: dict[str, list[Caption]], rng: np.random.Generator) -> Caption:
    """A caption of the pools, its kind drawn by `KIND_SHARES`."""
    pool = pools[str(rng.choice(KINDS, p=list(KIND_SHARES.values())))]
    return pool[rng.integers(len(pool))]


def caption_pools(split: str) -> dict[str, list[Caption]]:
    """All captions of a split by kind."""
    pools: dict[str, list[Caption]] = {kind: [] for kind in KINDS}
    for caption in captions(split):
        pools[caption.kind].append(caption)
    return pools


def drawn_captions(stream: int, num: int) -> list[str]:
    """The captions of the first `num` scenes of a stream."""
    pools = caption_pools("train")
    chunks: Iterator[Sequence[Caption]] = (_drawn(stream, start, pools)[0] for start in range(0, num, CHUNK))
    return [caption.text for chunk in chunks for caption in chunk][:num]


def rendered_chunk(stream: int, start: int) -> tuple[np.ndarray, list[str]]:
    """Pixels (CHUNK, 64, 64, 3), uint8, of the scenes from `start`, a multiple of CHUNK, on; and their captions."""
    chosen, rng = _drawn(stream, start, caption_pools("train"))
    return np.stack([render(sample_scene(caption, rng)) for caption in chosen]), [caption.text for caption in chosen]


def _drawn(stream: int, start: int, pools: dict[str, list[Caption]]) -> tuple[list[Caption], np.random.Generator]:
    """The captions of a chunk, and the generator that then draws its scenes."""
    rng = np.random.default_rng([stream, start])
    return [draw_caption(pools, rng) for _ in range(CHUNK)], rng
