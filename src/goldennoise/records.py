"""Records: what a complete artifact's record.json says, and how it is read and checked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldennoise.errors import ArtifactError
from goldennoise.provenance import file_digest

RECORD = "record.json"
STAGE_OF_KIND = {
    "pairs": "collect",
    "npnet": "train",
    "scores": "eval",
    "report": "report",
    "image_scores": "score",
    "checkpoint": "convert",
    "samples": "sample",
}


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

    def check(self) -> None:
        """Raise `ArtifactError` naming the first damaged file, if there is one."""
        stage = self.record["config"].get("stage", {}).get("kind", STAGE_OF_KIND[self.kind])
        for name in self.damaged():
            raise ArtifactError(
                f"{self.path / name} is damaged: its checksum is not the one recorded for {self.reference}; "
                f"run the {stage} command again or restore the file"
            )


def read_artifact(path: Path) -> Artifact:
    """The artifact in the folder `path`; `ArtifactError` if its record cannot be read."""
    record = read_json(path / RECORD)
    try:
        outside = [name for name in record["files"] if Path(name).is_absolute() or ".." in Path(name).parts]
        if outside:
            # A damaged file is removed before it is made anew, and another's record may name any.
            raise ArtifactError(f"{path / RECORD} names a file outside of its folder, {outside[0]}: do not use it")
        return Artifact(record["kind"], record["name"], record["version"], path, record)
    except KeyError as error:
        raise ArtifactError(
            f"{path / RECORD} is damaged: it has no {error}; restore it or make the artifact anew"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; `ArtifactError` naming the file if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(
            f"{path} is damaged: {error}; restore it or delete {path.parent} and make it anew"
        ) from None
    if not isinstance(content, dict):
        raise ArtifactError(
            f"{path} is damaged: it holds no record; restore it or delete {path.parent} and make it anew"
        )
    return content
