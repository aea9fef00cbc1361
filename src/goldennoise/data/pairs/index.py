"""The index of a pairs artifact: one row per pair, kept or not."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goldennoise.data.pairs.preference import PreferenceFilter
from goldennoise.data.pairs.shards import FIGURES, as_parquet, part_path, read_index, read_metadata, write
from goldennoise.data.prompts import Prompt

INDEX = "index.parquet"
SHARDS = "shards"
"""Key of the index file's metadata: JSON list with the SHA-256 of every shard."""

Scores = NDArray[np.float64]


def index_rows(
    samples: Sequence[tuple[Prompt, int]],
    scores: Mapping[str, tuple[Scores, Scores]],
    preference: PreferenceFilter | None,
) -> pd.DataFrame:
    """Index rows of prompts with the index of a seed each: prompt_id, prompt, category, seed, `<scorer>_source`,
    `<scorer>_golden`, gain, kept.

    gain: by how much the preference scorer prefers the golden image; without a filter 0, and every pair is kept.

    scores: for every scorer those of the source images and of the golden images, (num,) each.
    """
    columns: dict[str, object] = {
        "prompt_id": [prompt.id for prompt, _ in samples],
        "prompt": [prompt.text for prompt, _ in samples],
        "category": [prompt.category for prompt, _ in samples],
        "seed": np.array([seed for _, seed in samples], dtype=np.int64),
    }
    for name, (source, golden) in scores.items():
        columns |= {f"{name}_source": source, f"{name}_golden": golden}
    if preference is None:
        return pd.DataFrame(columns | {"gain": 0.0, "kept": True})
    columns["gain"] = preference.gain(*scores[preference.scorer])
    columns["kept"] = preference.keep(*scores[preference.scorer])
    return pd.DataFrame(columns)


def located(rows: Sequence[pd.DataFrame], shard: int) -> pd.DataFrame:
    """The rows of one shard with the columns `shard` and `row`, where their noise lies."""
    index = pd.concat(rows, ignore_index=True)
    place = list(index.columns).index("seed") + 1
    index.insert(place, "shard", np.int64(shard))
    index.insert(place + 1, "row", np.arange(len(index), dtype=np.int64))
    return index


def merge(folder: Path, num_shards: int) -> pd.DataFrame:
    """Write index.parquet from the index parts of all shards, in order, and return it."""
    parts = [part_path(folder, shard) for shard in range(num_shards)]
    index = pd.concat([read_index(part) for part in parts], ignore_index=True)
    digests = [read_metadata(part)["sha256"] for part in parts]
    write(folder / INDEX, as_parquet(index, {SHARDS: json.dumps(digests)}))
    return index


def total_figures(folder: Path, num_shards: int) -> dict[str, float]:
    """`FIGURES` summed over all shards, whichever run made them."""
    parts = [read_metadata(part_path(folder, shard)) for shard in range(num_shards)]
    return {figure: sum(float(part[figure]) for part in parts) for figure in FIGURES}
