from pathlib import Path

import pytest
from integration.command_line import run_ok

STAGES = ("collect", "train", "eval", "report")


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs folder of all four stages on the shapes world, at the smallest size."""
    outputs = tmp_path_factory.mktemp("outputs")
    run_ok(outputs, "experiment=smoke")
    return outputs
