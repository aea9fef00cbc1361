"""Odd command lines and damaged files: a run does its work or tells the mistake in one sentence, and writes nothing
outside its outputs."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from integration import fuzz_tree
from integration.damaged_trees import damaged
from integration.in_process import Ended, run, snapshot
from integration.odd_command_lines import draw, is_small, write_names

from goldennoise.__main__ import run_stage
from goldennoise.config.compose import RunConfig
from goldennoise.store.artifacts import ArtifactStore

NUM_COMMAND_LINES, NUM_FILES = 1000, 300
BLOCK = 50
"""Of one test."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    fuzz_tree.build(root)
    return root


@pytest.fixture
def fresh(tree: Path, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Copies of the tree, one after the other; `~` is that of the last."""
    made = 0

    def copy() -> Path:
        nonlocal made
        made += 1
        fuzz_tree.copy(tree, tmp_path / str(made))
        return tmp_path / str(made)

    with fuzz_tree.at_home(tmp_path):
        yield copy


def changed(root: Path, folders: Sequence[Path], runs: Callable[[], Ended]) -> tuple[Ended, list[str]]:
    """How the run ended, and its faults: those of its end, and what changed outside of `folders`."""
    before = snapshot(root, folders)
    ended = runs()
    after = snapshot(root, folders)
    parents = {str(parent) for folder in folders for parent in folder.parents}
    differing = {path for path, _ in before.items() ^ after.items()} - parents
    return ended, [*ended.faults(), *(f"{path} has changed" for path in sorted(differing))]


def faults_of_command_line(seed: int, root: Path, stage: Callable[[RunConfig], None]) -> list[str]:
    case, here = draw(random.Random(seed)), root / "here"
    with fuzz_tree.at_home(root):
        folders = [Path(os.path.normpath(here / _expanded(folder))) for folder in case.folders]
        ended, found = changed(root, folders, lambda: run(case.arguments, here, stage))
    return [f"seed {seed}, {ended}: {fault}" for fault in found]


def _expanded(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError:
        return Path("outputs")


def faults_of_files(seed: int, root: Path) -> list[str]:
    here = root / "here"
    what, commands = damaged(random.Random(seed), here)
    found = []
    with fuzz_tree.at_home(root):
        for command in commands:
            ended, faults = changed(root, [here / "outputs"], lambda command=command: run(command, here))  # type: ignore[misc]
            found += [f"seed {seed}, {what}, {ended}: {fault}" for fault in [*faults, *_incomplete(ended, here)]]
    return found


def _incomplete(ended: Ended, here: Path) -> list[str]:
    """Artifacts that the run calls complete and that are damaged."""
    store, found = ArtifactStore(here / "outputs"), []
    for reference, _, path in (line.partition("  ") for line in ended.stdout.splitlines()):
        if ended.code in (0, None) and path and (here / path / "record.json").is_file():
            found += store.resolve(reference, reference.partition("/")[0]).damaged()
    return [f"{name} is damaged in an artifact that is called complete" for name in found]


def command_lines(seeds: range, fresh: Callable[[], Path]) -> tuple[list[str], int]:
    """Faults of all these, and how many really ran."""
    num_runs = 0

    def stage(config: RunConfig) -> None:
        nonlocal num_runs
        if not is_small(config):
            return write_names(config)
        num_runs += 1
        return run_stage(config)

    return [fault for seed in seeds for fault in faults_of_command_line(seed, fresh(), stage)], num_runs


def test_some_odd_command_lines(fresh: Callable[[], Path]) -> None:
    found, _ = command_lines(range(NUM_COMMAND_LINES, NUM_COMMAND_LINES + 60), fresh)
    assert not found, "\n\n".join(found)


def test_some_damaged_files(fresh: Callable[[], Path]) -> None:
    found = [fault for seed in range(NUM_FILES, NUM_FILES + 12) for fault in faults_of_files(seed, fresh())]
    assert not found, "\n\n".join(found)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, NUM_COMMAND_LINES, BLOCK))
def test_odd_command_lines(fresh: Callable[[], Path], first: int) -> None:
    found, num_runs = command_lines(range(first, first + BLOCK), fresh)
    assert not found, "\n\n".join(found)
    assert num_runs > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, NUM_FILES, BLOCK))
def test_damaged_files(fresh: Callable[[], Path], first: int) -> None:
    found = [fault for seed in range(first, first + BLOCK) for fault in faults_of_files(seed, fresh())]
    assert not found, "\n\n".join(found)
