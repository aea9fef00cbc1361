"""Loggers: each kind writes what it should where it should, offline."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from unit.training.learnable import BRIEF, SMALL, FakeModel

from goldennoise.data.pairs.reader import PairReader
from goldennoise.errors import ConfigError
from goldennoise.training.engine import loggers
from goldennoise.training.engine.fit import Training, train_npnet
from goldennoise.training.engine.loggers import LoggerConfig
from goldennoise.training.engine.trainer import Setting
from goldennoise.training.objectives.regression import Loss as Regression

CURVES = {"train_loss", "val_loss", "val_loss_identity", "learning_rate", "gradient_norm", "alpha", "beta"}
OPTIONS = replace(BRIEF, num_epochs=1, batch_size=2, sample_every_epochs=1, num_samples=2)


def logged(config: LoggerConfig, reader: PairReader, folder: Path) -> Path:
    logs = folder / "logs"
    with loggers.opened(config, logs, "learnable@v1", is_first=True) as chosen:
        setting = Setting(loggers=chosen, progress_bar=False)
        objective = Regression(OPTIONS)
        train_npnet(Training(reader, FakeModel(), SMALL, OPTIONS, objective, folder / "run", setting=setting))
    assert (folder / "run/training.csv").is_file()
    return logs


def test_csv_writes_nothing_but_the_history(
    reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert not logged(LoggerConfig(), reader, tmp_path).exists()
    assert not list(Path.cwd().iterdir())
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"training.csv", "samples", "work"}


def test_tensorboard_gets_curves_and_images(reader: PairReader, tmp_path: Path) -> None:
    logs = logged(LoggerConfig("tensorboard"), reader, tmp_path)
    events = EventAccumulator(str(logs / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) >= CURVES
    assert len(events.Tags()["images"]) == 2


def test_wandb_works_offline_without_a_key(reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    logs = logged(LoggerConfig("wandb"), reader, tmp_path)
    # The service that writes the file outlives the run; its end is the last byte.
    wandb.teardown()
    (run,) = logs.glob("wandb/offline-run-*/run-*.wandb")
    content = run.read_bytes()
    assert all(curve.encode() in content for curve in CURVES)
    assert len(list(logs.glob("wandb/offline-run-*/files/media/images/*.png"))) == 2


@pytest.mark.parametrize("mode", ["disabled", "offline", "online"])
def test_wandb_mode_is_that_of_the_environment(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    if mode == "online":
        with pytest.raises(ConfigError, match=r"logger\.mode=online: Weights & Biases did not start"):
            loggers.build(LoggerConfig("wandb"), tmp_path, "name")
    else:
        with loggers.opened(LoggerConfig("wandb"), tmp_path / "logs", "name", is_first=True) as (logger,):
            logger.log_metrics({"loss": 1.0})
            loggers.log_images(logger, [np.zeros((8, 8, 3), np.uint8)], ["a circle"], 1)
        kept = [path.name.partition("-run-")[0] for path in (tmp_path / "logs").glob("wandb/*-run-*")]
        assert kept == (["offline"] if mode == "offline" else [])
    assert os.environ["WANDB_MODE"] == mode


def test_the_option_is_stronger_than_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"logger\.mode=online: Weights & Biases did not start"):
        loggers.build(LoggerConfig("wandb", mode="online"), tmp_path, "name")
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(ConfigError, match="WANDB_MODE=onlin: WANDB_MODE must be one of offline, online, disabled"):
        loggers.build(LoggerConfig("wandb"), tmp_path, "name")


def test_only_the_first_process_logs(tmp_path: Path) -> None:
    with loggers.opened(LoggerConfig("tensorboard"), tmp_path / "logs", "name", is_first=False) as chosen:
        assert chosen == []
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("kind", "tensorbord"), ("mode", "offlin"), ("project", ""), ("project", "a/b")]
)
def test_unknown_choices_are_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigError, match=option):
        LoggerConfig(**{option: value})
