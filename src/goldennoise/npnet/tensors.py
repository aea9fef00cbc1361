"""Tensors by name: reading them from a file and holding them against what a network needs."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from goldennoise.errors import ModelError

NUM_NAMED = 3
"""Tensors an error message names one by one."""


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
    problems = []
    if missing := expected.keys() - found.keys():
        problems.append(f"without {_listed(missing)}")
    if unexpected := found.keys() - expected.keys():
        problems.append(f"with unexpected {_listed(unexpected)}")
    wrong = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if wrong:
        problems.append(f"with other shapes, {_listed(wrong)}")
    if problems:
        raise ModelError(f"{source} does not hold the tensors of its NPNet: it is {'; '.join(problems)}.")


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - NUM_NAMED} more" if len(ordered) > NUM_NAMED else ""
    return ", ".join(ordered[:NUM_NAMED]) + more
