"""A training that is killed again and again ends with the files of one that was not."""

import multiprocessing
import random
import time
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from unit.training.learnable import BRIEF, run_config, use_fake_model, write_pairs_artifact

from goldennoise.store.artifacts import ArtifactStore
from goldennoise.store.record import Artifact

OPTIONS = replace(BRIEF, num_epochs=30, batch_size=4, schedule="cosine", sample_every_epochs=3, num_samples=2)


def run_stage(outputs: Path) -> None:
    from goldennoise.stages import train

    use_fake_model(pytest.MonkeyPatch())
    train.run(run_config(outputs, OPTIONS))


def started(outputs: Path) -> BaseProcess:
    """The stage in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["goldennoise.training.engine.fit", "unit.training.learnable"])
    process = context.Process(target=run_stage, args=(outputs,))
    process.start()
    return process


def num_epochs_done(folder: Path) -> int:
    history = folder / "training.csv"
    return len(history.read_text().splitlines()) - 1 if history.is_file() else 0


def killed(outputs: Path, delay_s: float) -> bool:
    """Start, kill -9 some time after the next epoch has ended; False if the training was faster."""
    partial = outputs / "npnet/learnable/v1.partial"
    before, process = num_epochs_done(partial), started(outputs)
    while process.is_alive() and num_epochs_done(partial) <= before:
        time.sleep(0.002)
    process.join(delay_s)
    in_time = process.is_alive()
    process.kill()
    process.join()
    return in_time


def trained(outputs: Path) -> Artifact:
    process = started(outputs)
    process.join()
    assert process.exitcode == 0
    return ArtifactStore(outputs).resolve("learnable", "npnet")


@pytest.mark.parametrize("num_kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_again_and_again_it_ends_as_one_long_run(tmp_path: Path, num_kills: int) -> None:
    outputs = tmp_path / "long", tmp_path / "killed"
    for folder in outputs:
        write_pairs_artifact(folder)
    delays = random.Random(0)
    kills = [killed(outputs[1], delays.uniform(0, 0.15)) for _ in range(num_kills)]
    assert all(kills), "the training is too short to be killed so often"
    long, restarted = (trained(folder) for folder in outputs)
    assert restarted.record["files"] == long.record["files"]
    assert restarted.record["counts"] == long.record["counts"]
    assert {"model.safetensors", "config.json", "training.csv", "training.json"} < set(long.record["files"])
    assert not [name for name in long.record["files"] if "ckpt" in name or name.startswith("work")]
