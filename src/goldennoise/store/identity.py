"""What decides the content of an artifact, as one number."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


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
