"""What a worker of a Ray cluster checks of its node before it loads anything."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from unit.runtime.units import File, touching

from goldennoise.errors import ArtifactError, ConfigError, DataError
from goldennoise.runtime.executors.ray_worker import Errand, Worker


@pytest.fixture
def errand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Errand:
    monkeypatch.chdir(tmp_path)
    draft = tmp_path / "draft"
    draft.mkdir()
    (draft / "canary").write_text("alive")
    return Errand(touching(draft, []), draft, tmp_path, ("canary", "alive"))


def refused(errand: Errand, **changes: Any) -> str:
    def loaded() -> Any:
        pytest.fail("loaded")

    answer = Worker(dataclasses.replace(errand, make_worker=loaded, **changes)).prepare()
    assert isinstance(answer.error, ArtifactError | ConfigError)
    return str(answer.error)


def test_it_makes_what_is_missing_where_the_command_was_started(errand: Errand, tmp_path: Path) -> None:
    made: list[str] = []
    worker = Worker(dataclasses.replace(errand, make_worker=touching(errand.folder, made)))
    os.chdir("/")
    assert worker.prepare().error is None
    assert Path.cwd() == tmp_path
    File(2).path(errand.folder).touch()
    assert worker.make([File(1), File(2), File(3)]).error is None
    assert made == ["1a", "3a"]


def test_a_folder_that_is_not_shared_is_named(errand: Errand, tmp_path: Path) -> None:
    other = tmp_path / "own"
    other.mkdir()
    (other / "canary").write_text("of another run")
    for folder in (tmp_path / "nowhere", other):
        assert f"does not see {folder}: choose a folder that all nodes share with outputs=DIR" in refused(
            errand, folder=folder
        )
    told = refused(errand, start=tmp_path / "gone")
    assert f"does not see {tmp_path}/gone, where the command was started: start it in a" in told


def test_another_version_is_named(errand: Errand) -> None:
    told = refused(errand, software=errand.software | {"torch": "1.0"})
    assert f" has torch {errand.software['torch']}, and this machine 1.0: install the same versions" in told
    assert " has zzz not at all, and this machine 2: " in refused(errand, software=errand.software | {"zzz": "2"})


def test_a_mistake_in_a_unit_is_sent_back(errand: Errand) -> None:
    def maker() -> Any:
        def fail(unit: File, _: object) -> None:
            raise DataError(f"unit {unit.number}: no")

        return fail

    worker = Worker(dataclasses.replace(errand, make_worker=maker))
    assert worker.prepare().error is None
    assert str(worker.make([File(1)]).error) == "unit 1: no"
