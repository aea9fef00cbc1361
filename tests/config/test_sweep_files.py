"""The sweep files of Weights & Biases: their options compose, and their number is one that training logs."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from unit.training.engine.test_loggers import CURVES

from goldennoise.config.compose import load
from goldennoise.config.files import conf_folder

FILES = sorted((conf_folder() / "sweep").glob("*.yaml"))


def ends_of(parameter: dict[str, Any]) -> list[Any]:
    return parameter["values"] if "values" in parameter else [parameter["min"], parameter["max"]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_value_of_a_sweep_file_composes(file: Path) -> None:
    sweep = yaml.safe_load(file.read_text())
    assert sweep["command"][:4] == ["${env}", "python", "-m", "${program}"]
    assert sweep["program"] == "goldennoise"
    assert sweep["command"][-1] == "${args_no_hyphens}"
    fixed = sweep["command"][4:-1]
    assert sweep["parameters"]
    for name, parameter in sweep["parameters"].items():
        for value in ends_of(parameter):
            config = load([*fixed, f"{name}={value}"])
            assert (config.logger.kind, config.logger.mode) == ("wandb", "online")
            assert getattr(config.stage, name.removeprefix("stage.")) == value


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_number_of_a_sweep_file_is_what_the_training_optimises(file: Path) -> None:
    sweep = yaml.safe_load(file.read_text())
    fixed = sweep["command"][4:-1]
    metric = sweep["metric"]["name"]
    assert (metric, sweep["metric"]["goal"]) == ("val_loss", "minimize")
    assert metric in CURVES, "what the logger of Weights & Biases is tested to log"
    assert load([*fixed, f"stage.objective_metric={metric}"]).stage.objective_metric == metric


def test_there_is_one() -> None:
    assert FILES
