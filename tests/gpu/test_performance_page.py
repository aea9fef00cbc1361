"""Tables from results of a GPU: every figure is one of the file's, and what the file lacks is a dash."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "performance_page.py"
MADE_UP: dict[str, Any] = {
    "format": 1,
    "device": "A made-up GPU",
    "started": "1999-01-01 00:00",
    "commit": "abc",
    "machine": {"cuda": "77.7"},
    "versions": {"torch": "0.0.1", "triton": None},
    "checks": [
        {"name": "sampling, shapes", "status": "passed", "deviation": 1.5e-6, "tolerance": 1e-3},
        {"name": "compute.offload, flux", "status": "failed", "deviation": None, "tolerance": 1e-3},
    ],
    "peaks": [{"dtype": "bfloat16", "size": 8192, "tera_flop_per_s": 800.0}],
    "measurements": [
        {
            "model": "sdxl", "option": "whole", "status": "passed", "side_px": 1024, "dtype": "bfloat16",
            "evaluation_s": 0.0321, "decoding_s": 0.123, "npnet_s": 0.0045, "peak_gb": 6.54, "tera_flop_per_s": 400.0,
            "images_per_s": 0.61, "npnet_share": 0.0027,
        },
        {"model": "sdxl", "option": "no peak", "status": "passed", "dtype": "float32", "tera_flop_per_s": 40.0},
        {"model": "sdxl", "option": "stopped", "status": "failed", "evaluation_s": None},
    ],
    "not_run": ["sdxl: compiled"],
}  # fmt: skip


def printed(content: Any, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "gpu.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return subprocess.run([sys.executable, SCRIPT, file], capture_output=True, text=True, check=False)


def rows(text: str, first: str) -> dict[str, list[str]]:
    """Cells of the rows of the table that begins with a column, by their first or second cell."""
    table = text[text.index(f"| {first} |") :].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {line[1 if first == "model" else 0]: line for line in cells[2:]}


def test_every_figure_is_the_files_and_what_is_missing_is_a_dash(tmp_path: Path) -> None:
    text = printed(MADE_UP, tmp_path).stdout
    found = rows(text, "model")
    assert found["whole"][2:] == [
        *("1024 px", "0.0321 s", "400", "50%", "0.123 s", "0.0045 s", "0.27%", "0.61", "6.5 GB")
    ]
    assert found["no peak"][2:] == ["-", "-", "40", *"-------"[:6]]
    assert set(found["stopped"][2:]) == {"-"}
    assert rows(text, "check")["compute.offload, flux"][1:] == ["failed", "-", "0.001"]
    assert rows(text, "check")["sampling, shapes"][1:] == ["passed", "1.5e-06", "0.001"]
    assert "Not run for lack of time: sdxl: compiled." in text
    assert "A made-up GPU, CUDA 77.7, 1999-01-01 00:00 UTC, commit abc. Packages: torch 0.0.1." in text


def test_an_empty_file_gives_no_figure(tmp_path: Path) -> None:
    text = printed({"format": 1}, tmp_path).stdout
    assert not re.search(r"\d", text)
    assert "Measured on -, - UTC, commit -. Packages: -." in text


def test_a_dry_run_is_told_as_one(tmp_path: Path) -> None:
    text = printed(MADE_UP | {"models": "tiny"}, tmp_path).stdout
    assert text.startswith("A dry run of tiny models on a CPU: these figures say nothing of a GPU")


@pytest.mark.parametrize("content", ["no json", [], {}, {"format": 2}])
def test_what_is_no_file_of_ours_is_told_in_one_sentence(tmp_path: Path, content: Any) -> None:
    done = printed(content, tmp_path)
    assert done.returncode == 2
    assert "is no JSON of make test-gpu" in done.stderr
    assert "Traceback" not in done.stderr
