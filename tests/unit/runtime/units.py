"""Units that are files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from goldennoise.runtime.progress import Progress


@dataclass(frozen=True)
class File:
    """A unit of three items that is one file."""

    number: int
    name: str = "a"
    size: int = 3

    def path(self, folder: Path) -> Path:
        return folder / f"{self.number}{self.name}"

    def is_finished(self, folder: Path) -> bool:
        return self.path(folder).exists()


def touching(folder: Path, made: list[str]) -> Callable[[], Callable[[File, Progress], None]]:
    """Makes a worker that notes in `made` what it makes."""

    def write(unit: File, progress: Progress) -> None:
        made.append(unit.path(folder).name)
        unit.path(folder).touch()
        progress.update(unit.size)

    return lambda: write
