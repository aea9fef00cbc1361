"""Every check on a GPU: `pytest -m gpu`. `make test-gpu` runs the same within its minutes, and measures."""

from pathlib import Path

import pytest
import torch
from gpu.checks import CHECKS
from gpu.place import Place, outcome


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", CHECKS)
def test_a_gpu_does_what_the_cpu_does(name: str, tmp_path: Path) -> None:
    found = outcome(CHECKS[name], Place(torch.device("cuda", 0), tmp_path))
    if found["status"] == "not here":
        pytest.skip(found["told"])
    assert found["status"] == "passed", f"{found['deviation']} > {found['tolerance']}\n{found['told']}"
