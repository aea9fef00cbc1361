"""Records: what a complete artifact's record.json says, and how it is read and checked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from goldennoise.errors import ArtifactError
from goldennoise.store.files import file_digest

RECORD = "record.json"
STAGE_OF_KIND = {
    "pairs": "collect",
    "npnet": "train",
    "model": "train_model",
    "schedule": "train_schedule",
    "scores": "eval",
    "report": "report",
    "image_scores": "score",
    "checkpoint": "convert",
    "samples": "sample",
    "comparison": "compare",
    "sweep": "sweep",
    "prediction": "predict",
    "tables": "tables",
    "image_quality": "image_quality",
    "browser": "browse",
}


class _Source(BaseModel):
    reference: str
    fingerprint: str


class _Header(BaseModel):
    """What both files say: which artifact it is and what decides its content."""

    model_config = ConfigDict(strict=True)

    kind: str
    name: str
    version: str
    fingerprint: str
    identity: dict[str, Any]
    inputs: list[_Source]
    config: dict[str, Any]
    start: str


class _Record(_Header):
    packages: dict[str, str]
    git_commit: str | None
    host: str
    command: str
    end: str
    counts: dict[str, Any]
    files: dict[str, str]


@dataclass(frozen=True)
class Artifact:
    """A complete artifact, as its record describes it."""

    kind: str
    name: str
    version: str
    path: Path
    record: dict[str, Any]

    @property
    def reference(self) -> str:
        """For example "pairs/shapes@v1"."""
        return f"{self.kind}/{self.name}@{self.version}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the content."""
        return str(self.record["fingerprint"])

    def damaged(self) -> list[str]:
        """Files, relative to `path`, that are missing or whose SHA-256 differs from the record."""
        return [
            name
            for name, digest in self.record["files"].items()
            if not (self.path / name).is_file() or file_digest(self.path / name) != digest
        ]

    def recorded(self, *keys: str, kind: type = object) -> Any:
        """What the record holds under `keys`, one inside the other, an instance of `kind`; `ArtifactError` if not."""
        found: Any = self.record
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise self._damaged_record(f"it has no {'.'.join(keys)}")
            found = found[key]
        if not isinstance(found, kind):
            raise self._damaged_record(f"{'.'.join(keys)} is of another type")
        return found

    def _damaged_record(self, what: str) -> ArtifactError:
        return ArtifactError(f"{self.path / RECORD} is damaged: {what}; restore it or make the artifact again")

    def check(self) -> None:
        """Raise `ArtifactError` naming the first damaged file, if there is one."""
        stage = self.record["config"].get("stage")
        made_by = stage.get("kind") if isinstance(stage, dict) else None
        for name in self.damaged():
            raise ArtifactError(
                f"{self.path / name} is damaged: its checksum is not the one recorded for {self.reference}; "
                f"run the {made_by or STAGE_OF_KIND[self.kind]} command again or restore the file"
            )


def read_artifact(path: Path) -> Artifact:
    """The artifact in the folder `path`; `ArtifactError` naming its record if that cannot be read."""
    record = _read(path / RECORD, _Record)
    if record["kind"] not in STAGE_OF_KIND:
        raise ArtifactError(
            f"{path / RECORD} is damaged: {record['kind']!r} is no kind of artifact; restore it or make it again"
        )
    outside = [name for name in record["files"] if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        # A damaged file is removed before it is made again, and another's record may name any.
        raise ArtifactError(f"{path / RECORD} names a file outside of its folder, {outside[0]}: do not use it")
    return Artifact(record["kind"], record["name"], record["version"], path, record)


def read_header(path: Path) -> dict[str, Any]:
    """What a draft.json or record.json says of itself, from its kind to its start.

    Raises `ArtifactError` naming the file if it is damaged.
    """
    return _read(path, _Header)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; `ArtifactError` naming the file if it is damaged."""
    mend = f"restore it or delete {path.parent} and make it again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{path} is damaged: {reason}; {mend}") from None
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is damaged: it holds no record; {mend}")
    return content


def _read(path: Path, form: type[BaseModel]) -> dict[str, Any]:
    content = read_json(path)
    try:
        form.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = f"it has no {place}" if first["type"] == "missing" else f"{place} is of another type"
        mend = f"restore it or delete {path.parent} and make it again"
        raise ArtifactError(f"{path} is damaged: {what}; {mend}") from None
    return content
