"""Two processes that train together learn what one process learns. Run as a script by torchrun, as a test by pytest."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from unit.training.learnable import BRIEF, run_config, use_fake_model, write_pairs_artifact

from goldennoise.stages import train
from goldennoise.store.artifacts import ArtifactStore
from goldennoise.training.engine import fit

OPTIONS = replace(BRIEF, num_epochs=2, batch_size=9, num_samples=1, sample_every_epochs=1)
TOLERANCE = 1e-5


def train_and_keep_parameters(outputs: Path, num_devices: int) -> None:
    """Run the stage, and write the last parameters of this process to `rank<N>.safetensors`."""
    rank = os.environ.get("RANK", "0")

    class Kept(fit.NoiseTraining):
        def on_train_end(self) -> None:
            save_file(dict(self.network.state_dict()), outputs / f"rank{rank}.safetensors")

    with pytest.MonkeyPatch.context() as patched:
        use_fake_model(patched)
        patched.setattr(fit, "NoiseTraining", Kept)
        train.run(run_config(outputs, OPTIONS, num_devices))


def torchrun(outputs: Path, num_devices: int) -> tuple[int, str]:
    """Exit code and what was printed by two processes that run this file."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    process = subprocess.Popen(
        [*command, __file__, str(outputs), str(num_devices)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        printed, _ = process.communicate(timeout=550)
    finally:
        # torchrun ends its workers when it is asked to end, not when it is killed.
        process.terminate()
        process.wait()
    return process.returncode, printed


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Outputs of one process and of two; the last batch of an epoch has one pair, the second process then none."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for outputs in (one, two):
        write_pairs_artifact(outputs)
    train_and_keep_parameters(one, num_devices=1)
    exit_code, printed = torchrun(two, num_devices=2)
    assert exit_code == 0, printed
    return one, two


def test_the_last_batch_is_uneven(runs: tuple[Path, Path]) -> None:
    counts = ArtifactStore(runs[0]).resolve("learnable", "npnet").record["counts"]
    assert (counts["pairs"] - counts["validation_pairs"]) % OPTIONS.batch_size == 1


def test_both_processes_end_with_the_same_parameters(runs: tuple[Path, Path]) -> None:
    first, second = (load_file(runs[1] / f"rank{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_two_processes_learn_what_one_learns(runs: tuple[Path, Path]) -> None:
    one, two = (load_file(outputs / "rank0.safetensors") for outputs in runs)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=TOLERANCE)


def test_the_losses_are_those_of_one_process(runs: tuple[Path, Path]) -> None:
    one, two = (ArtifactStore(outputs).resolve("learnable", "npnet") for outputs in runs)
    assert one.fingerprint == two.fingerprint
    histories = [pd.read_csv(artifact.path / "training.csv") for artifact in (one, two)]
    np.testing.assert_allclose(histories[1], histories[0], rtol=0, atol=TOLERANCE)
    assert two.damaged() == []


if __name__ == "__main__":
    train_and_keep_parameters(Path(sys.argv[1]), int(sys.argv[2]))
