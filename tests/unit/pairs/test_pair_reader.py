"""The reader gives back what was written, reads only what is asked for, and names what is damaged."""

from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from unit.pairs.fakes import collect_pairs, collector, prompts

from goldennoise.errors import DataError
from goldennoise.pairs import PairReader, reader
from goldennoise.pairs.index import INDEX
from goldennoise.pairs.shards import tensors_path

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
