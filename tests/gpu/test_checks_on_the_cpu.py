"""The code of the checks, on the CPU against itself: one check of every function, but for the longest."""

from pathlib import Path
from typing import Any

import pytest
import torch
from gpu.checks import CHECKS
from gpu.place import CPU, Check, Found, NotHere, Place, deviation, is_poisoned, outcome

FIRST: dict[Any, str] = {}
for each in CHECKS.values():
    if each.limit_s <= 60:
        FIRST.setdefault(each.run.func, each.name)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FIRST.values())
def test_a_check_runs_on_the_cpu(name: str, tmp_path: Path) -> None:
    found = outcome(CHECKS[name], Place(CPU, tmp_path))
    assert found["status"] in ("passed", "not here"), found["told"]
    assert found["status"] == "passed" or found["told"] == "compute.offload needs a GPU"


def checked(found: Any, tolerance: float | None, tmp_path: Path) -> dict[str, Any]:
    def run(_: Place) -> Found:
        if isinstance(found, Exception):
            raise found
        return Found(found)

    return outcome(Check("name", run, tolerance, 60), Place(CPU, tmp_path))


@pytest.mark.parametrize(
    ("found", "tolerance", "expected"),
    [
        (0.5, 0.5, "passed"),
        (0.6, 0.5, "failed"),
        (float("nan"), 0.5, "failed"),
        (None, 0.5, "failed"),
        (None, None, "passed"),
        (NotHere("why"), 0.5, "not here"),
        (RuntimeError("CUDA error: an illegal memory access"), 0.5, "failed"),
    ],
)
def test_what_comes_of_a_check(tmp_path: Path, found: Any, tolerance: float | None, expected: str) -> None:
    told = checked(found, tolerance, tmp_path)
    assert told["status"] == expected
    assert is_poisoned(told["told"]) == ("CUDA" in str(found))


def test_deviation_is_relative_and_no_number_passes_for_another() -> None:
    expected = torch.tensor([1.0, -4.0])
    assert deviation(torch.tensor([1.0, -3.0]), expected) == 0.25
    assert deviation(expected.half(), expected) == 0.0
    for wrong in (torch.tensor([1.0, float("nan")]), torch.tensor([1.0])):
        assert deviation(wrong, expected) == float("inf")
    assert deviation(expected, torch.tensor([1.0, float("nan")])) == float("inf")
