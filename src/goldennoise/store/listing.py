"""What lies in an outputs folder: every version of every artifact, complete, unfinished or damaged."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from goldennoise.errors import ArtifactError
from goldennoise.store.drafts import DRAFT
from goldennoise.store.record import RECORD, STAGE_OF_KIND, Artifact, read_artifact, read_header
from goldennoise.store.versions import VERSION, number

State = Literal["complete", "unfinished", "damaged"]


@dataclass(frozen=True)
class Entry:
    """One version.

    record: of a complete one; of an unfinished one what its draft says; empty where it cannot be read. artifact: of a
    complete one. problem: of a damaged one, in words.
    """

    kind: str
    name: str
    version: str
    state: State
    record: dict[str, Any]
    artifact: Artifact | None = None
    problem: str = ""

    @property
    def reference(self) -> str:
        return f"{self.kind}/{self.name}@{self.version}"


def everything(root: Path) -> Iterator[Entry]:
    """All versions below `root`: kinds in the order of the pipeline, names by the alphabet, the oldest version first.

    Records are read, and no other file.
    """
    for kind in STAGE_OF_KIND:
        folders = [entry for entry in (root / kind).iterdir() if entry.is_dir()] if (root / kind).is_dir() else []
        for folder in sorted(folders):
            inside = [entry for entry in folder.iterdir() if VERSION.fullmatch(entry.name.removesuffix(".partial"))]
            for path in sorted(inside, key=lambda path: (number(path.name.removesuffix(".partial")), path.name)):
                if (entry := _entry(kind, folder.name, path)) is not None:
                    yield entry


def is_meant(entry: Entry, pattern: str) -> bool:
    """Whether "KIND", "KIND/NAME" or "KIND/NAME@VERSION", with the wildcards of a shell, means this version."""
    kind, _, rest = pattern.partition("/")
    name, _, version = rest.partition("@")
    parts = ((entry.kind, kind), (entry.name, name), (entry.version, version))
    return all(fnmatchcase(found, wanted or "*") for found, wanted in parts)


def _entry(kind: str, name: str, path: Path) -> Entry | None:
    """None for a folder in which no work has begun."""
    version = path.name.removesuffix(".partial")
    partial = path.name != version
    if partial and not (path / DRAFT).is_file():
        return None
    try:
        if partial:
            return Entry(kind, name, version, "unfinished", read_header(path / DRAFT))
        if not (path / RECORD).is_file():
            return Entry(kind, name, version, "damaged", {}, problem=f"it has no {RECORD}")
        artifact = read_artifact(path)
    except ArtifactError as error:
        return Entry(kind, name, version, "damaged", {}, problem=str(error))
    if artifact.reference != (own := f"{kind}/{name}@{version}"):
        what = f"its {RECORD} is that of {artifact.reference}, and it lies in the place of {own}"
        return Entry(kind, name, version, "damaged", artifact.record, problem=what)
    return Entry(kind, name, version, "complete", artifact.record, artifact)
