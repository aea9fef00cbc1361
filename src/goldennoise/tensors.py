"""Tensors by name, as files and networks hold them, held against each other."""

from collections.abc import Iterable, Mapping

from torch import Tensor

NUM_NAMED = 3
"""Tensors that are named one by one."""


def mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """In what `found` differs from the names and shapes of `expected`, to follow "it is"; empty where in nothing."""
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
    return "; ".join(problems)


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - NUM_NAMED} more" if len(ordered) > NUM_NAMED else ""
    return ", ".join(ordered[:NUM_NAMED]) + more
