"""The notebooks run from top to bottom on the artifacts of a small pipeline, and ship without outputs."""

from pathlib import Path

import nbformat
import pytest
from integration.command_line import run_ok
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def run_notebook(path: Path, monkeypatch: pytest.MonkeyPatch, outputs: Path, name: str) -> None:
    monkeypatch.setenv("GOLDENNOISE_OUTPUTS", str(outputs))
    monkeypatch.setenv("GOLDENNOISE_NAME", name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_notebook(path, monkeypatch, pipeline, "smoke")


@pytest.mark.slow
def test_the_notebook_of_pairs_runs_on_those_of_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ok(tmp_path, "experiment=demo", "stage=collect_layouts", "stage.num_prompts=12", "stage.num_seeds=1")
    (path,) = (path for path in NOTEBOOKS if "pairs" in path.stem)
    run_notebook(path, monkeypatch, tmp_path, "demo")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stripped(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
