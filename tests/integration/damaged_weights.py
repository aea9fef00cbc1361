"""Damages of weight files: tensors of other shapes, numbers and names, and files that would run code."""

import io
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from integration.edits import edited, replaced
from safetensors.torch import load_file, save


def _edited_tensors(rng: random.Random, tensors: dict[str, Any]) -> dict[str, Any]:
    name = rng.choice([name for name, value in tensors.items() if isinstance(value, torch.Tensor)] or [*tensors])
    tensor = tensors[name]
    if not isinstance(tensor, torch.Tensor):
        return {}
    numbers = tensor.float()
    edits: dict[str, Callable[[], Any]] = {
        "shape": lambda: tensor.reshape(-1),
        "cut": lambda: tensor[:0] if tensor.dim() else tensor.reshape(1, 1),
        "more": lambda: torch.cat([tensor, tensor]) if tensor.dim() else tensor.reshape(1),
        "nan": lambda: torch.full_like(numbers, float("nan")),
        "inf": lambda: numbers * 1e38 * 1e38,
        "huge": lambda: torch.full_like(numbers, 3e38),
        "whole": lambda: torch.zeros_like(tensor, dtype=torch.int64),
        "bool": lambda: torch.zeros_like(tensor, dtype=torch.bool),
        "float64": lambda: torch.full_like(tensor, 1e300, dtype=torch.float64),
        "bfloat16": lambda: tensor.to(torch.bfloat16),
        "scalar": lambda: torch.tensor(0.0),
    }
    what = rng.choice([*edits, "gone", "renamed", "none", "extra", "long name"])
    others = {key: value for key, value in tensors.items() if key != name}
    if what in edits:
        return {**tensors, name: edits[what]().contiguous()}
    extra = {"extra": {**tensors, "x": torch.zeros(2)}, "long name": {**tensors, "x" * 5000: torch.zeros(1)}}
    return {"gone": others, "renamed": {**others, f"{name}x": tensor}, "none": {}, **extra}[what]


def edited_safetensors(rng: random.Random, path: Path) -> None:
    if rng.random() < 0.8:
        replaced(path, save(_edited_tensors(rng, load_file(path))))
        return
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(edited(rng, json.loads(content[8 : 8 + size]))).encode("utf-8", "surrogatepass")
    length = rng.choice((len(header), len(header), 2**40, 0, 2**64 - 1))
    replaced(path, length.to_bytes(8, "little") + header + content[8 + size :])


class RunsCode:
    """A pickle that makes a folder beside the tree where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


def edited_torch(rng: random.Random, path: Path) -> None:
    """What torch saved, with other contents at any depth."""
    content = torch.load(path, weights_only=True)
    odd: tuple[Any, ...] = (None, 0, "x", [], {}, {"a": {}}, float("nan"), torch.zeros(2), [torch.zeros(1)], {1: 2})
    node = content
    while isinstance(node, dict) and node:
        key = rng.choice([*node])
        if not (isinstance(node[key], dict) and node[key]) or rng.random() < 0.4:
            what = rng.randrange(3)
            if what == 0:
                del node[key]
            elif what == 1 and isinstance(node[key], torch.Tensor):
                node |= _edited_tensors(rng, {key: node[key]})
            else:
                node[key] = rng.choice(odd)
            break
        node = node[key]
    stream = io.BytesIO()
    torch.save(content if rng.random() < 0.9 else rng.choice(odd), stream)
    replaced(path, stream.getvalue())


def code_instead(rng: random.Random, path: Path) -> None:
    """A file that would run code where an unrestricted loader opens it."""
    evil = RunsCode(path.parent / "escaped")
    stream = io.BytesIO()
    if rng.random() < 0.5:
        torch.save({"alpha": evil}, stream)
    else:
        pickle.dump(evil, stream)
    replaced(path, stream.getvalue())
