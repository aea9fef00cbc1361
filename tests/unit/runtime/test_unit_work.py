"""Units: what is finished is not made again, whoever makes the rest, and each number falls to one process."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from unit.runtime.units import File, touching

from goldennoise.runtime.executors.local import Local
from goldennoise.runtime.executors.ranks import Ranks
from goldennoise.runtime.units import make_units


def test_only_what_is_missing_is_made_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    units, made = [File(number) for number in range(5)], list[str]()
    for number in (0, 3):
        units[number].path(tmp_path).touch()
    make_units(units, tmp_path, touching(tmp_path, made), Local(), ("write", "lines"))
    assert made == ["1a", "2a", "4a"]
    assert "write: 100%, 15/15" in capsys.readouterr().err


def test_nothing_is_loaded_where_nothing_is_missing(tmp_path: Path) -> None:
    File(0).path(tmp_path).touch()
    make_units([File(0)], tmp_path, lambda: pytest.fail("loaded"), Local(), ("write", "lines"))


def test_processes_share_what_is_missing_evenly_and_keep_a_number_to_one(tmp_path: Path) -> None:
    units = [File(number, name) for number in range(5) for name in "ab"]
    units[2].path(tmp_path).touch()  # 1a
    for name in "ab":
        File(3, name).path(tmp_path).touch()
    missing = [i for i, unit in enumerate(units) if not unit.is_finished(tmp_path)]
    shares = []
    for rank in range(2):
        # Both are told before either begins.
        told: Any = SimpleNamespace(
            rank=rank, size=2, is_first=rank == 0, from_first=lambda _: missing, on_all=lambda work: work()
        )
        made: list[str] = []
        make_units(units, tmp_path, touching(tmp_path, made), Ranks(told), ("write", "lines"))
        shares.append(made)
    assert shares == [["0a", "0b", "2a", "2b"], ["1b", "4a", "4b"]]
