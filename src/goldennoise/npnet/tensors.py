"""Tensors by name: reading them from a file and holding them against what a network needs."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from goldennoise.errors import ModelError
from goldennoise.tensors import mismatch


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU. Raises `ModelError` for a missing or damaged file."""
    if not path.is_file():
        raise ModelError(f"{path} does not exist: give the folder or the file of a trained NPNet.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is truncated or damaged ({error}): copy or train it again.") from error


def check_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], source: Path) -> None:
    """Raise `ModelError` unless `found`, read from `source`, has the names and shapes of `expected`."""
    if problems := mismatch(expected, found):
        raise ModelError(f"{source} does not hold the tensors of its NPNet: it is {problems}.")
