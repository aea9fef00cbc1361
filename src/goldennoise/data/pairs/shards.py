"""Shard files: noise as safetensors, and beside it an index part that vouches for it.

The index part is written after the noise and holds its SHA-256, so a shard is finished exactly when both files are
there and agree. Each file is written under a temporary name and renamed: a killed run leaves no half-written shard.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from goldennoise.errors import ArtifactError
from goldennoise.store.files import file_digest, remove, whole

FIGURES = ("evaluations", "truncated", "seconds")
"""What making a shard took: model evaluations, prompts cut to the text encoder's length, seconds."""

COLUMNS = {
    **dict.fromkeys(("prompt_id", "prompt", "category"), "O"),
    **dict.fromkeys(("seed", "shard", "row"), "iu"),
    "gain": "fiu",
    "kept": "b",
}
"""Columns of an index beside those of the scorers -> kinds of their numpy dtype."""


@dataclass(frozen=True)
class Shard:
    """A finished shard: source and golden noise (num, C, h, w) on the CPU, one index row each, and its `FIGURES`."""

    source: Tensor
    golden: Tensor
    index: pd.DataFrame
    figures: dict[str, float]


def tensors_path(folder: Path, shard: int) -> Path:
    return folder / f"pairs-{shard:05d}.safetensors"


def part_path(folder: Path, shard: int) -> Path:
    return folder / f"index-{shard:05d}.parquet"


def write_shard(folder: Path, number: int, shard: Shard) -> None:
    """Write both files of a shard, replacing what is there. Raises `ArtifactError` when the disk refuses."""
    content = save({"source": shard.source.contiguous(), "golden": shard.golden.contiguous()})
    # Until the new part is there, an old one must not vouch for the new tensors.
    remove(part_path(folder, number))
    write(tensors_path(folder, number), content)
    metadata = {"sha256": hashlib.sha256(content).hexdigest()}
    metadata |= {figure: repr(float(shard.figures[figure])) for figure in FIGURES}
    write(part_path(folder, number), as_parquet(shard.index, metadata))


def valid(folder: Path, shard: int) -> bool:
    """Whether both files of a shard are there, readable and agree."""
    try:
        metadata, index = read_metadata(part_path(folder, shard)), read_index(part_path(folder, shard))
        if file_digest(tensors_path(folder, shard)) != metadata["sha256"]:
            return False
        with safe_open(tensors_path(folder, shard), framework="pt") as file:
            num_pairs = file.get_slice("source").get_shape()[0]
        figures = [float(metadata[figure]) for figure in FIGURES]
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return False
    fits = wrong_columns(index) is None and all(map(math.isfinite, figures))
    return fits and list(zip(index["shard"], index["row"], strict=True)) == [(shard, row) for row in range(num_pairs)]


def wrong_columns(index: pd.DataFrame) -> str | None:
    """What an index lacks of `COLUMNS` and of scores, to follow the name of its file; None if nothing."""
    scores = dict.fromkeys(set(index.columns) - set(COLUMNS), "fiu")
    for column, kinds in {**COLUMNS, **scores}.items():
        if column not in index.columns:
            return f"it has no column {column}"
        if index[column].dtype.kind not in kinds or index[column].isna().any():
            return f"the column {column} holds something else"
    return None


def as_parquet(index: pd.DataFrame, metadata: dict[str, str]) -> bytes:
    """A Parquet file with page checksums and `metadata` in its schema."""
    table = pa.Table.from_pandas(index, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def read_index(path: Path) -> pd.DataFrame:
    """Rows of an index file; raises OSError or ArrowException if it is missing or damaged."""
    return pq.read_table(path, page_checksum_verification=True).to_pandas()


def read_metadata(path: Path) -> dict[str, str]:
    """What `as_parquet` was given; raises OSError or ArrowException if the file is missing or damaged."""
    entries = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode() for key, value in entries.items()}


def write(path: Path, content: bytes) -> None:
    """The whole file or none. Raises `ArtifactError` when the disk refuses."""
    try:
        with whole(path) as beside:
            beside.write_bytes(content)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}; make room, or choose another outputs folder, and start "
            "again: finished shards are kept"
        ) from error
