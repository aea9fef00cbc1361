"""What runs on a node of a Ray cluster. Imports no Ray."""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldennoise.errors import ArtifactError, ConfigError, GoldenNoiseError
from goldennoise.runtime.progress import Progress
from goldennoise.runtime.resources import machine_errors
from goldennoise.runtime.units import MakeWorker
from goldennoise.store.origin import git_commit, package_versions


def _software() -> dict[str, str]:
    commit = git_commit()
    return package_versions() | ({"the commit of goldennoise": commit} if commit else {})


@dataclass(frozen=True)
class Errand:
    """What every worker is told. folder: of the draft. start: where the command was started, which relative paths mean.

    canary: name and content of a file in `folder`. software: of the head.
    """

    make_worker: MakeWorker[Any]
    folder: Path
    start: Path
    canary: tuple[str, str]
    software: dict[str, str] = field(default_factory=_software)


@dataclass(frozen=True)
class Answer:
    """That all went well, or what did not."""

    error: GoldenNoiseError | None = None


class Worker:
    """Makes units in a process of its own."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        self._work: Callable[[Any, Progress], None] | None = None

    def prepare(self) -> Answer:
        """Check the node, load what the work needs."""
        return self._answer(self._prepare)

    def make(self, units: Sequence[Any]) -> Answer:
        """Make those of `units` that the draft lacks: a lost worker may have finished some."""
        return self._answer(lambda: self._make(units))

    def _prepare(self) -> None:
        self._refuse_other_folder()
        self._refuse_other_software()
        os.chdir(self.errand.start)
        self._work = self.errand.make_worker()

    def _make(self, units: Sequence[Any]) -> None:
        assert self._work is not None, "prepare comes first"
        progress = Progress("", sum(unit.size for unit in units), "", show=False)
        for unit in units:
            if not unit.is_finished(self.errand.folder):
                self._work(unit, progress)

    def _answer(self, act: Callable[[], None]) -> Answer:
        try:
            with machine_errors():
                act()
        except GoldenNoiseError as error:
            return Answer(error)
        return Answer()

    def _refuse_other_folder(self) -> None:
        name, content = self.errand.canary
        file = self.errand.folder / name
        if not file.is_file() or file.read_text(encoding="utf-8") != content:
            raise ArtifactError(
                f"node {socket.gethostname()} does not see {self.errand.folder}: choose a folder that all nodes share "
                "with outputs=DIR"
            )
        if not self.errand.start.is_dir():
            raise ConfigError(
                f"node {socket.gethostname()} does not see {self.errand.start}, where the command was started: start "
                "it in a folder that all nodes share"
            )

    def _refuse_other_software(self) -> None:
        here, there = _software(), self.errand.software
        others = [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]
        if others:
            name = others[0]
            raise ConfigError(
                f"node {socket.gethostname()} has {name} {here.get(name, 'not at all')}, and this machine "
                f"{there.get(name, 'not at all')}: install the same versions on all nodes"
            )
