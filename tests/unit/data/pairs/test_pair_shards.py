"""A shard is finished exactly when both files are there and agree."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from goldennoise.data.pairs.shards import (
    Shard,
    as_parquet,
    part_path,
    read_index,
    read_metadata,
    tensors_path,
    valid,
    write_shard,
)
from goldennoise.errors import ArtifactError

FIGURES = {"evaluations": 4, "truncated": 0, "seconds": 0.5}


def shard(offset: float = 0.0) -> Shard:
    source = torch.arange(48.0).reshape(3, 1, 4, 4) + offset
    index = pd.DataFrame({"prompt": ["a", "b", "c"], "shard": [0, 0, 0], "row": [0, 1, 2], "kept": [True, False, True]})
    index = index.assign(prompt_id=index["prompt"], category="kind", seed=0, gain=0.5)
    return Shard(source, source + 0.5, index, FIGURES)


def test_written_shard_is_valid_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, shard())
    assert valid(tmp_path, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index-00000.parquet", "pairs-00000.safetensors"]
    pd.testing.assert_frame_equal(read_index(part_path(tmp_path, 0)), shard().index)


@pytest.mark.parametrize("path_of", [tensors_path, part_path])
def test_missing_file_is_not_valid(tmp_path: Path, path_of) -> None:  # type: ignore[no-untyped-def]
    write_shard(tmp_path, 0, shard())
    path_of(tmp_path, 0).unlink()
    assert not valid(tmp_path, 0)


@pytest.mark.parametrize("path_of", [tensors_path, part_path])
@pytest.mark.parametrize("place", [0.05, 0.3, 0.5, 0.99])
def test_any_flipped_byte_that_matters_is_seen(tmp_path: Path, path_of, place: float) -> None:  # type: ignore[no-untyped-def]
    write_shard(tmp_path, 0, shard())
    rows = read_index(part_path(tmp_path, 0))
    content = bytearray(path_of(tmp_path, 0).read_bytes())
    content[int(place * len(content))] ^= 0xFF
    path_of(tmp_path, 0).write_bytes(content)
    if path_of is part_path and valid(tmp_path, 0):
        # Statistics in the footer of a Parquet file have no checksum, and no row depends on them.
        pd.testing.assert_frame_equal(read_index(part_path(tmp_path, 0)), rows)
    else:
        assert not valid(tmp_path, 0)


def test_truncated_index_part_is_not_valid(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, shard())
    part_path(tmp_path, 0).write_bytes(part_path(tmp_path, 0).read_bytes()[:-20])
    assert not valid(tmp_path, 0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda index: index.drop(columns="kept"),
        lambda index: index.assign(gain="x"),
        lambda index: index.assign(scorer_golden="0.5"),
        lambda index: index.assign(row=[0, 1, 5]),
        lambda index: index.assign(shard=1),
        lambda index: index.head(2),
        lambda index: index.head(0),
    ],
)
def test_a_whole_index_part_of_something_else_is_not_valid(
    tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    write_shard(tmp_path, 0, shard())
    metadata = read_metadata(part_path(tmp_path, 0))
    part_path(tmp_path, 0).write_bytes(as_parquet(spoil(shard().index), metadata))
    assert not valid(tmp_path, 0)


@pytest.mark.parametrize("seconds", ["", "x", "nan", None])
def test_an_index_part_without_its_figures_is_not_valid(tmp_path: Path, seconds: str | None) -> None:
    write_shard(tmp_path, 0, shard())
    metadata = {key: read_metadata(part_path(tmp_path, 0))[key] for key in ("sha256", "evaluations", "truncated")}
    content = as_parquet(shard().index, metadata | ({} if seconds is None else {"seconds": seconds}))
    part_path(tmp_path, 0).write_bytes(content)
    assert not valid(tmp_path, 0)


def test_an_old_index_part_never_vouches_for_new_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(tmp_path, 0, shard())
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        if target == part_path(tmp_path, 0):
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, 0, shard(1.0))
    assert tensors_path(tmp_path, 0).exists()
    assert not part_path(tmp_path, 0).exists()
    assert not valid(tmp_path, 0)


def test_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"pairs-00000.safetensors: No space left on device"):
        write_shard(tmp_path, 0, shard())
    assert list(tmp_path.iterdir()) == []
