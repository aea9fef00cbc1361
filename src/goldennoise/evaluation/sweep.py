"""Evaluations that differ in some options, such as those of a sweep: these options, and names made of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from goldennoise.errors import shortened
from goldennoise.store.artifacts import Artifact

Settings = Mapping[str, Any]
"""Dotted option -> its value."""
_HOW = ("compute", "logger", "outputs", "dry_run", "name", "version")
"""Parts of a config that decide no content."""


def settings_of(scores: Artifact, method: str) -> dict[str, Any]:
    """What a user can set of the model and of one method of an evaluation."""
    model = scores.recorded("config", "model", kind=dict)
    own = scores.recorded("config", "method", method, kind=dict)
    return _flat(model, "model.") | _flat(own, f"method.{method}.")


def options_of(artifact: Artifact) -> dict[str, Any]:
    """What a user can set that may decide an artifact."""
    config = artifact.recorded("config", kind=dict)
    return _flat({key: value for key, value in config.items() if key not in _HOW}, "")


def differing(settings: Mapping[str, Sequence[Settings]]) -> dict[str, dict[str, Any]]:
    """Option -> arm -> value, of the options that every arm has, each with one value in all its runs, and that differ.

    settings: arm -> those of its runs.
    """
    runs = [one for of_arm in settings.values() for one in of_arm]
    found = {}
    for option in runs[0]:
        if not all(option in one for one in runs):
            continue
        values = {arm: [one[option] for one in of_arm] for arm, of_arm in settings.items()}
        firsts = {arm: of_arm[0] for arm, of_arm in values.items()}
        alike = all(value == firsts[arm] for arm, of_arm in values.items() for value in of_arm)
        if alike and any(value != runs[0][option] for value in firsts.values()):
            found[option] = firsts
    return found


def arm_names(scores: Sequence[Artifact], methods: Sequence[str]) -> list[str]:
    """A name for each evaluation: the values of the options that differ, such as "4/2.5/trailing", and the reference
    where these do not tell it from another."""
    settings = {one.reference: [settings_of(one, method)] for one, method in zip(scores, methods, strict=True)}
    differ = differing(settings)
    names = ["/".join(shown(values[one.reference]) for values in differ.values()) for one in scores]
    alike = Counter(names)
    return [
        name if name and alike[name] == 1 else f"{name} {one.reference}".strip()
        for name, one in zip(names, scores, strict=True)
    ]


def shown(value: Any) -> str:
    """A value as a word: of a path its end."""
    if isinstance(value, float):
        return f"{value:g}"
    text = "null" if value is None else str(value)
    return shortened(text.rpartition("/")[2] or text, 24)


def _flat(options: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
