"""Training a model on two CPU processes under torchrun: the weights of one process, up to rounding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from unit.training.denoiser.tiny_models import config, write_images, write_models

from goldennoise.stages import train_model
from goldennoise.store.artifacts import ArtifactStore

OPTIONS = ("noise_levels=cosine",)


def train(folder: Path, num_devices: int) -> None:
    # Adam turns the rounding of small gradients into steps of the learning rate.
    train_model.run(config(folder, *OPTIONS, f"compute.devices={num_devices}", "stage.learning_rate=1e-4"))


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_models(tmp_path / name)
        write_images(tmp_path / name / "images")
    train(tmp_path / "one", num_devices=1)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    printed = subprocess.run(
        [*command, __file__, str(tmp_path / "two")],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert printed.returncode == 0, printed.stdout + printed.stderr
    one, two = (ArtifactStore(tmp_path / name / "outputs").resolve("tiny", "model") for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    assert two.damaged() == []
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        weights = [load_file(artifact.path / f"{part}.safetensors") for artifact in (one, two)]
        for name, weight in weights[0].items():
            torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-5)
    histories = [pd.read_csv(artifact.path / "training.csv") for artifact in (one, two)]
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)


if __name__ == "__main__":
    train(Path(sys.argv[1]), 2)
