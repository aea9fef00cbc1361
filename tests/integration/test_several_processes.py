"""Two processes under torchrun make in all four stages what one process makes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from integration.command_line import ROOT

from goldennoise.data.pairs import PairReader
from goldennoise.store.artifacts import ArtifactStore

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "goldennoise")


def by_two(outputs: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *TORCHRUN, *overrides, "compute.devices=2", "compute.device=cpu", f"outputs={outputs}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=550,
        check=False,
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("shared")
    done = by_two(outputs, "experiment=smoke", "stage=all")
    assert done.returncode == 0, done.stderr[-3000:]
    reported = re.findall(r"^(\w+)/smoke@v1  ", done.stdout, re.MULTILINE)
    assert reported == ["pairs", "npnet", "scores", "report"]
    return outputs


def test_the_artifacts_are_those_of_one_process(pipeline: Path, shared: Path) -> None:
    for kind in ("pairs", "npnet", "scores", "report"):
        one, two = (ArtifactStore(outputs).resolve("smoke", kind) for outputs in (pipeline, shared))
        assert two.damaged() == []
        assert set(two.record["files"]) == set(one.record["files"])
        assert one.record["identity"] == two.record["identity"]


def test_the_pairs_are_those_of_one_process(pipeline: Path, shared: Path) -> None:
    one, two = (PairReader(ArtifactStore(outputs).resolve("smoke", "pairs").path) for outputs in (pipeline, shared))
    for left, right in zip(*(reader.noise(np.arange(len(reader.index))) for reader in (one, two)), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-4)
    pd.testing.assert_frame_equal(one.index, two.index, atol=1e-2)


def test_standard_gives_the_images_of_one_process(pipeline: Path, shared: Path) -> None:
    tables = []
    for outputs in (pipeline, shared):
        scores = pd.read_parquet(ArtifactStore(outputs).resolve("smoke", "scores").path / "scores.parquet")
        tables.append(scores[scores["method"] == "standard"].reset_index(drop=True))
    pd.testing.assert_frame_equal(*tables, atol=1e-2)


def test_a_mistake_of_all_processes_is_said_and_ends_them(tmp_path: Path) -> None:
    done = by_two(tmp_path, "stage=eval", "method=[standard,npnet]", "stage.num_prompts=2", "stage.num_seeds=1")
    assert done.returncode != 0
    assert "error: no npnet artifact called shapes" in done.stderr
    assert "goldennoise/stages" not in done.stderr  # torchrun has a traceback of its own
