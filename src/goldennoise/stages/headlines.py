"""What an artifact amounts to, in a few words, from its record and, of scores, from summary.json."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from goldennoise.errors import ArtifactError, shortened
from goldennoise.store.record import Artifact, read_json

_ROLES = ("reporting", "selecting", "unknown")


def headline(artifact: Artifact) -> str:
    """Of a record that lacks what is told of its kind, all its counts."""
    tell = {"pairs": _pairs, "npnet": _npnet, "schedule": _schedule, "scores": _scores, "samples": _samples}
    with suppress(ArtifactError, KeyError, TypeError, ValueError, IndexError):
        if told := tell.get(artifact.kind, _counts)(artifact):
            return told
    return _counts(artifact)


def _counts(artifact: Artifact) -> str:
    numbers = {name: value for name, value in artifact.record["counts"].items() if isinstance(value, int | float)}
    return ", ".join(f"{value:,.6g} {name.replace('_', ' ')}" for name, value in numbers.items())


def _pairs(artifact: Artifact) -> str:
    counts, preference = artifact.record["counts"], artifact.recorded("config", "stage", "preference")
    kept = f"{counts['kept']:,} of {counts['pairs']:,} pairs kept"
    return f"{kept}, mean gain {counts['mean_gain']:+.4g} by {preference}" if preference else f"{kept}, not filtered"


def _npnet(artifact: Artifact) -> str:
    counts = artifact.record["counts"]
    if "val_loss" not in counts:
        return f"{counts['parameters']:,} parameters, not trained here"
    against = f", {counts['identity_val_loss']:.5g} of the noise as it is" if "identity_val_loss" in counts else ""
    return f"validation loss {counts['val_loss']:.5g}{against}"


def _schedule(artifact: Artifact) -> str:
    counts = artifact.record["counts"]
    return f"{counts['mean_steps']:.1f} steps on average, {counts['shared_steps']} of the shared schedule"


def _samples(artifact: Artifact) -> str:
    return f"“{shortened(artifact.recorded('config', 'stage', 'prompt', kind=str), 60)}”"


def _scores(artifact: Artifact) -> str:
    """The difference of the method that the report's headline is about, by its scorer.

    Read as plain JSON: the report's own sentence needs torch, which takes longer to load than a list may.
    """
    summary = read_json(artifact.path / "summary.json")
    methods, reference, scorers = summary["methods"], summary["reference"], summary["scorers"]
    scorer = min(scorers, key=lambda name: _rank(scorers[name]))
    size = f"{summary['num_prompts']:,} prompts × {summary['num_seeds']} seeds"
    others = [name for name in methods if name != reference]
    if not others:
        return f"{scorer} {methods[reference]['scorers'][scorer]['mean']:.4g}, {reference} alone, {size}"
    subject = next((name for name in others if methods[name]["kind"] == "npnet"), others[0])
    found = methods[subject]["scorers"][scorer]
    interval = "" if found["low"] is None else f" [{found['low']:+.4g}, {found['high']:+.4g}]"
    return f"{scorer} {found['difference']:+.4g}{interval}, {subject} against {reference}, {size}"


def _rank(scorer: Mapping[str, Any]) -> tuple[bool, int]:
    return scorer["higher_is_better"] is None, _ROLES.index(scorer["role"])
