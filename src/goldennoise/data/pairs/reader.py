"""Reading pairs as a stream: the index in memory, noise row by row from disk."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from goldennoise.data.pairs.index import INDEX, SHARDS
from goldennoise.data.pairs.shards import read_index, read_metadata, tensors_path, wrong_columns
from goldennoise.errors import DataError
from goldennoise.store.files import file_digest


class PairReader:
    """The pairs of a folder. Memory does not grow with their number: noise is read when it is needed.

    index: one row per pair (see `pairs.index`), in collecting order. latent_shape: (C, h, w).
    A shard is checked against its checksum when it is first read. Raises `DataError` naming a damaged file.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        path = self.folder / INDEX
        try:
            self.index: pd.DataFrame = read_index(path)
            self._digests: list[str] = json.loads(read_metadata(path)[SHARDS])
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}); run the collect command again, it repairs it") from error
        if what := _wrong_content(self.index, len(self._digests)):
            raise DataError(f"{path} is no index of pairs: {what}; collect them again")
        self._checked: set[int] = set()
        self._shards = self.index["shard"].to_numpy()
        self._rows = self.index["row"].to_numpy()
        self.latent_shape: tuple[int, int, int] = self._read_latent_shape()

    def __len__(self) -> int:
        return len(self.index)

    def noise(self, rows: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
        """Source and golden noise (num, C, h, w) of these positions of the index, in their order."""
        rows = np.asarray(rows)
        if not rows.size:
            empty = torch.empty(0, *self.latent_shape)
            return empty, empty
        order = np.lexsort((self._rows[rows], self._shards[rows]))
        pieces = list(self._pieces(rows[order]))
        back = torch.from_numpy(np.argsort(order))
        return torch.cat([source for source, _ in pieces])[back], torch.cat([golden for _, golden in pieces])[back]

    def _pieces(self, rows: NDArray[np.integer]) -> Iterator[tuple[Tensor, Tensor]]:
        shards, places = self._shards[rows], self._rows[rows]
        for shard in np.unique(shards):
            wanted = places[shards == shard]
            # Neighbouring rows are one slice: one read instead of many.
            runs = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1)
            yield self._read(int(shard), [(int(run[0]), int(run[-1]) + 1) for run in runs])

    def _read(self, shard: int, spans: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        path = tensors_path(self.folder, shard)
        try:
            self._check(shard, path)
            with safe_open(path, framework="pt") as file:
                parts = [file.get_slice(name) for name in ("source", "golden")]
                source, golden = (torch.cat([part[start:end] for start, end in spans]) for part in parts)
        except (OSError, SafetensorError, IndexError, RuntimeError) as error:
            raise _damaged(path, str(error)) from error
        if source.shape != golden.shape or source.dim() != 4 or len(source) != sum(end - start for start, end in spans):
            raise _damaged(path, "its noises are not those of the index")
        if not bool(source.isfinite().all() and golden.isfinite().all()):
            raise _damaged(path, "it holds noise that is not finite")
        return source, golden

    def _check(self, shard: int, path: Path) -> None:
        if shard not in self._checked:
            if file_digest(path) != self._digests[shard]:
                raise _damaged(path, "its checksum is not the one recorded")
            self._checked.add(shard)

    def _read_latent_shape(self) -> tuple[int, int, int]:
        source, _ = self._read(int(self._shards[0]), [(0, 1)])
        channels, height, width = source.shape[1:]
        return channels, height, width


def _wrong_content(index: pd.DataFrame, num_shards: int) -> str | None:
    """What is wrong with an index file that is whole; None if nothing is."""
    if what := wrong_columns(index):
        return what
    if index.empty:
        return "it holds no pairs"
    if not (index["shard"].between(0, num_shards - 1).all() and (index["row"] >= 0).all()):
        return "it names places that no shard has"
    return None if np.isfinite(index["gain"]).all() else "a gain is not finite"


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path} is damaged: {why}; run the collect command again, it makes this shard again")
