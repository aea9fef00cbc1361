"""What damages of every format share: another file in the place of one, and values changed at any depth."""

import random
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**70, 1.5, 1e308, float("nan"), float("inf"), "", "x", "../../escaped", "a\nb", "\ud800"),
    *("x" * 5000, [], {}, [1, 2], [[]], {"a": 1}, {"": None}, [None] * 3, "/etc", "nan", "é"),
)
"""In place of a value of a JSON file."""


def replaced(path: Path, content: bytes) -> None:
    """Another file in the place of `path`: it may be one with a file of another tree."""
    path.unlink()
    path.write_bytes(content)


def edited(rng: random.Random, content: Any) -> Any:
    if rng.random() < 0.05:
        return rng.choice(VALUES)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, part in list(node.items() if isinstance(node, dict) else enumerate(node)):
            places.append((node, key))
            if isinstance(part, dict | list):
                walk(part)

    if not isinstance(content, dict | list) or not content:
        return rng.choice(VALUES)
    walk(content)
    node, key = rng.choice(places)
    what = rng.randrange(4)
    if what == 0:
        del node[key]
    elif what == 1 and isinstance(node, dict):
        node[f"{key}x"] = node.pop(key)
    else:
        node[key] = rng.choice(VALUES)
    return content
