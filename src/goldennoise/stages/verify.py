"""verify: every checksum and every input of the artifacts of an outputs folder."""

from dataclasses import dataclass
from pathlib import Path

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ArtifactError, shortened
from goldennoise.runtime.progress import Progress
from goldennoise.stages.chosen import ChoiceOptions, chosen_entries
from goldennoise.store.listing import Entry
from goldennoise.store.record import STAGE_OF_KIND, Artifact, read_artifact

_NAMED = 3
"""How many files, or artifacts, a message names; it counts the others."""


@dataclass(frozen=True, kw_only=True)
class Config(ChoiceOptions):
    """Which artifacts are verified."""

    kind: str = "verify"


def run(config: RunConfig) -> None:
    """Print a line for each artifact: ok, unfinished, or what is wrong.

    An input that was deleted is told and is no failure: what was made from it stays whole. Raises `ArtifactError` at
    the end if a file is damaged or an input was replaced, and at once for a folder without artifacts; what
    `chosen_entries` raises.
    """
    entries = chosen_entries(config.outputs, config.stage.artifacts)
    if not entries:
        raise ArtifactError(f"outputs={config.outputs} holds no artifact: name the folder that the stages wrote to")
    num_files = sum(len(entry.artifact.record["files"]) for entry in entries if entry.artifact)
    failed = []
    with Progress("verify", num_files, "files") as progress:
        for entry in entries:
            progress.note(entry.reference)
            wrong, told = _checked(entry, Path(config.outputs))
            progress.say(f"{entry.reference}: {'; '.join([*wrong, *told]) or 'ok'}")
            progress.update(len(entry.artifact.record["files"]) if entry.artifact else 0)
            failed += [entry.reference] if wrong else []
    if failed:
        raise ArtifactError(
            f"{len(failed)} of {len(entries)} artifacts in {config.outputs} failed ({_some(failed)}): restore them, or "
            "delete their folders and make them again"
        )


def _checked(entry: Entry, root: Path) -> tuple[list[str], list[str]]:
    """Faults of an artifact, and remarks that are no faults."""
    if entry.artifact is None:
        unfinished = [] if entry.state == "damaged" else ["unfinished"]
        return [f"damaged: {entry.problem}"] if entry.state == "damaged" else [], unfinished
    damaged = entry.artifact.damaged()
    wrong = [f"damaged: {_some(damaged)}, missing or with another checksum"] if damaged else []
    told = []
    for source in entry.artifact.record["inputs"]:
        reference = source["reference"]
        if reference.partition("/")[0] not in STAGE_OF_KIND:
            continue  # It comes from outside, such as a network of the hub.
        name, _, version = reference.partition("@")
        folder = root / name / version
        found = _input(folder)
        if found is None:
            told.append(f"its input {reference} is {'damaged' if folder.is_dir() else 'gone'}")
        elif found.fingerprint != source["fingerprint"]:
            wrong.append(f"its input {reference} was replaced by another")
    return wrong, told


def _input(folder: Path) -> Artifact | None:
    """The artifact in it; None where it is gone or its record cannot be read, which a line of its own tells."""
    try:
        return read_artifact(folder)
    except ArtifactError:
        return None


def _some(names: list[str]) -> str:
    further = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(shortened(name) for name in names[:_NAMED]) + further
