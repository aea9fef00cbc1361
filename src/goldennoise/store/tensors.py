"""Tensors by name: reading them from a file, and holding them against what a network needs."""

import codecs
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

# Only the class of the error that torch.load raises; nothing is unpickled outside torch's weights-only loader.
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from goldennoise.errors import GoldenNoiseError, shortened

NUM_NAMED = 3
"""Tensors that are named one by one."""
_NAME_LETTERS = 160

_HEAD_BYTES = 512
_MAX_HEADER_BYTES = 100_000_000
"""Of a safetensors file, as its format says."""
_ZIP, _PICKLES = b"PK\x03\x04", tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def read_tensors(path: Path, error: type[GoldenNoiseError]) -> dict[str, Any]:
    """Tensors by name, on the CPU; a file that torch saved may hold other values beside them.

    path: a `.safetensors` file, or with any other suffix one that torch saved, which its weights-only loader reads.
    Raises `error` for a file that is missing, damaged, of another kind than its suffix says, or that could run code.
    """
    _refuse_other_kind(path, error)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as cause:
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(cause))
        names = f" (it names {forbidden[1]})" if forbidden else ""
        raise error(
            f"{path} is damaged or holds more than tensors, which could run code: it is refused; save its tensors "
            f"alone, as safetensors, or fetch it again{names}."
        ) from cause
    # Loaders fail on damaged bytes with whatever their first wrong step raises: a KeyError, an AssertionError.
    except Exception as cause:
        what = f" ({shortened(cause, 200)})" if path.suffix == ".safetensors" else ", or nothing that torch saved"
        raise error(f"{path} is truncated or damaged{what}: copy or fetch it again.") from cause
    if not isinstance(content, dict):
        raise error(f"{path} holds no tensors by name: give a file of a network's weights.")
    return content


def _refuse_other_kind(path: Path, error: type[GoldenNoiseError]) -> None:
    """Raise `error` unless the file begins as its suffix says."""
    if path.is_dir():
        raise error(f"{path} is a folder: give a file of weights in it.")
    if not path.is_file():
        raise error(f"{path} does not exist: give a file of weights.")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as cause:
        raise error(f"{path} cannot be read ({cause.strerror}): give a file that you may read.") from cause
    kind = _kind(head)
    if kind == ("safetensors" if path.suffix == ".safetensors" else "torch"):
        return
    what = {
        "safetensors": f"is a safetensors file: rename it to {path.with_suffix('.safetensors').name}",
        "torch": f"is a file that torch saved: rename it to {path.with_suffix('.pth').name}",
        "text": "is a text file, as a web page or a Git LFS pointer is: fetch the weights themselves",
        "empty": "is truncated or damaged (it is empty): copy or fetch it again",
    }
    raise error(f"{path} {what.get(kind, 'is truncated or damaged, or no file of weights: copy or fetch it again')}.")


def _kind(head: bytes) -> str:
    """What a file begins like: safetensors, torch, text, empty or unknown."""
    if not head:
        return "empty"
    if head.startswith((_ZIP, *_PICKLES)):
        return "torch"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_HEADER_BYTES:
        return "safetensors"
    try:
        # The last character may be cut in two.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "unknown"
    return "text" if all(letter.isprintable() or letter.isspace() for letter in text) else "unknown"


def is_plain(value: object) -> bool:
    """Whether it is a tensor whose numbers all stand in memory: not sparse, quantised, expanded or without data."""
    if not isinstance(value, Tensor) or value.is_nested or value.layout is not torch.strided:
        return False
    if value.is_quantized or value.is_meta:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """In what `found` differs from the names and shapes of `expected`, to follow "it is"; empty where in nothing.

    Numbers may be of other precision, but no whole numbers in place of floating-point ones, and all of them finite.
    """
    problems = []
    if missing := expected.keys() - found.keys():
        problems.append(f"without {_listed(missing)}")
    if unexpected := found.keys() - expected.keys():
        problems.append(f"with unexpected {_listed(unexpected)}")
    both = [(name, tensor, found[name]) for name, tensor in expected.items() if name in found]
    shapes = [f"{name} {tuple(b.shape)} instead of {tuple(a.shape)}" for name, a, b in both if a.shape != b.shape]
    if shapes:
        problems.append(f"with other shapes, {_listed(shapes)}")
    kinds = [
        f"{name} {b.dtype} instead of {a.dtype}"
        for name, a, b in both
        if a.is_floating_point() != b.is_floating_point()
    ]
    if kinds:
        problems.append(f"with numbers of another kind, {_listed(kinds)}")
    # In the precision that they are used in: what is finite in float64 may be none in float32.
    if not problems and (broken := [name for name, a, b in both if not b.to(a.dtype).isfinite().all()]):
        problems.append(f"with values that are not finite in {_listed(broken)}")
    return "; ".join(problems)


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(shortened(name, _NAME_LETTERS) for name in names)
    more = f" and {len(ordered) - NUM_NAMED} more" if len(ordered) > NUM_NAMED else ""
    return ", ".join(ordered[:NUM_NAMED]) + more
