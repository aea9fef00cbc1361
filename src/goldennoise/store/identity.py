"""What decides the content of an artifact, and one number of it."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, asdict, fields, replace
from typing import Any


def deciding(config: Any) -> dict[str, Any]:
    """The options of a Config that decide content, by name."""
    values = asdict(config)
    return {option.name: values[option.name] for option in fields(config) if _decides(option, values[option.name])}


def _decides(option: Field[Any], value: Any) -> bool:
    told = option.metadata.get("identity", True)
    return value != option.default if told == "unless default" else bool(told)


def as_begun(config: Any, begun: Mapping[str, Any]) -> Any:
    """`config` with the pieces, and whatever else decides no content, of the run that began the work.

    begun: the options of that run, as its draft has them.
    """
    others = [option.name for option in fields(config) if not option.metadata.get("identity", True)]
    kept = {name: begun[name] for name in others if isinstance(begun.get(name), type(getattr(config, name)))}
    return replace(config, **kept)


def digest_of_lines(lines: Iterable[str]) -> str:
    """SHA-256 in hex of lines that a line feed separates."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def fingerprint(identity: Mapping[str, Any], inputs: Sequence[str]) -> str:
    """SHA-256 of the canonical JSON of what decides the content: identity fields and the inputs' fingerprints."""
    text = json.dumps(
        {"identity": identity, "inputs": list(inputs)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()
