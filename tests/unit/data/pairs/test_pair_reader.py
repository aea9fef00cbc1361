"""The reader gives back what was written, reads only what is asked for, and names what is damaged."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors
import torch
from safetensors.torch import save_file
from unit.data.pairs.fakes import collect_pairs, collector, prompts

from goldennoise.data.pairs import PairReader, reader
from goldennoise.data.pairs.index import INDEX
from goldennoise.data.pairs.shards import as_parquet, read_index, read_metadata, tensors_path
from goldennoise.errors import DataError
from goldennoise.store.files import file_digest

NUM = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    collect_pairs(collector, tmp_path, prompts(NUM), 6)
    return tmp_path


@pytest.fixture
def written() -> tuple[torch.Tensor, torch.Tensor]:
    made = collector().shard(prompts(NUM), 0)
    return made.source, made.golden


@pytest.mark.parametrize("rows", [[0], [19, 0, 7], [5, 6, 7, 8], [3, 3, 17, 2, 18], list(range(NUM))])
def test_gives_the_rows_asked_for_in_their_order(
    folder: Path, written: tuple[torch.Tensor, torch.Tensor], rows: list[int]
) -> None:
    source, golden = PairReader(folder).noise(np.array(rows))
    assert torch.equal(source, written[0][rows])
    assert torch.equal(golden, written[1][rows])


def test_index_shape_and_length(folder: Path) -> None:
    pairs = PairReader(folder)
    assert pairs.latent_shape == (4, 4, 4)
    assert len(pairs) == len(pairs.index) == NUM
    empty = pairs.noise(np.array([], dtype=int))[0]
    assert empty.shape == (0, 4, 4, 4)


def test_dtype_is_the_one_written(tmp_path: Path) -> None:
    half = collector()
    half.model.dtype = torch.float16
    collect_pairs(lambda: half, tmp_path, prompts(3), 6)
    source, golden = PairReader(tmp_path).noise(np.arange(3))
    assert source.dtype == golden.dtype == torch.float16


def test_only_the_rows_asked_for_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num_read, opened = [], []

    class Counted:
        def __init__(self, part: object) -> None:
            self.part = part

        def __getitem__(self, rows: slice) -> torch.Tensor:
            num_read.append(rows.stop - rows.start)
            return self.part[rows]  # type: ignore[index]

    class Spy:
        def __init__(self, path: Path, framework: str) -> None:
            opened.append(path.name)
            self.file = safetensors.safe_open(path, framework=framework)

        def __enter__(self) -> "Spy":
            return self

        def __exit__(self, *error: object) -> None: ...

        def get_slice(self, name: str) -> Counted:
            return Counted(self.file.get_slice(name))

    pairs = PairReader(folder)
    monkeypatch.setattr(reader, "safe_open", Spy)
    pairs.noise(np.array([7, 8, 18]))
    assert opened == ["pairs-00001.safetensors", "pairs-00003.safetensors"]
    assert num_read == [2, 2, 1, 1]


def test_damaged_shard_is_named_when_it_is_read(folder: Path) -> None:
    content = bytearray(tensors_path(folder, 2).read_bytes())
    content[-1] ^= 1
    tensors_path(folder, 2).write_bytes(content)
    pairs = PairReader(folder)
    pairs.noise(np.arange(12))
    with pytest.raises(DataError, match=r"pairs-00002\.safetensors is damaged"):
        pairs.noise(np.array([12]))


def test_missing_shard_and_missing_index_are_named(folder: Path) -> None:
    tensors_path(folder, 0).unlink()
    with pytest.raises(DataError, match=r"pairs-00000\.safetensors"):
        PairReader(folder)
    (folder / INDEX).write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match=r"index\.parquet cannot be read"):
        PairReader(folder)


def without(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda index: index.drop(columns=column)


def with_values(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda index: index.assign(**{column: value})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without("prompt"), "it has no column prompt"),
        (without("kept"), "it has no column kept"),
        (with_values("prompt_id", 7), "the column prompt_id holds something else"),
        (with_values("kept", "yes"), "the column kept holds something else"),
        (with_values("seed", None), "the column seed holds something else"),
        (with_values("gain", math.nan), "the column gain holds something else"),
        (with_values("gain", math.inf), "a gain is not finite"),
        (with_values("shard", 99), "it names places that no shard has"),
        (with_values("row", -1), "it names places that no shard has"),
        (lambda index: index.iloc[:0], "it holds no pairs"),
    ],
)
def test_an_index_with_a_right_checksum_and_wrong_content_is_refused(
    folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame], expected: str
) -> None:
    path = folder / INDEX
    metadata = {"shards": read_metadata(path)["shards"]}
    path.write_bytes(as_parquet(change(read_index(path)), metadata))
    with pytest.raises(DataError, match=f"index.parquet is no index of pairs: {expected}; collect them again"):
        PairReader(folder)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"source": torch.full((6, 4, 4, 4), math.nan), "golden": torch.zeros(6, 4, 4, 4)}, "noise that is not finite"),
        ({"source": torch.zeros(6, 4, 4, 4), "golden": torch.full((6, 4, 4, 4), math.inf)}, "noise that is not finite"),
        ({"source": torch.zeros(2, 4, 4, 4), "golden": torch.zeros(2, 4, 4, 4)}, ""),
        ({"source": torch.zeros(6, 4, 4, 4), "golden": torch.zeros(6, 4, 4, 2)}, "are not those of the index"),
        ({"source": torch.zeros(6, 4), "golden": torch.zeros(6, 4)}, "are not those of the index"),
        ({"source": torch.zeros(6, 4, 4, 4)}, "golden"),
    ],
)
def test_a_shard_with_a_right_checksum_and_wrong_content_is_refused(
    folder: Path, tensors: dict[str, torch.Tensor], expected: str
) -> None:
    save_file(tensors, tensors_path(folder, 0))
    index = folder / INDEX
    digests = json.loads(read_metadata(index)["shards"])
    digests[0] = file_digest(tensors_path(folder, 0))
    index.write_bytes(as_parquet(read_index(index), {"shards": json.dumps(digests)}))
    with pytest.raises(DataError, match=rf"pairs-00000\.safetensors is damaged: .*{expected}"):
        PairReader(folder).noise(np.arange(6))
