"""A complete run needs neither its scorers' weights nor torch."""

import shutil
import subprocess
from pathlib import Path

import pytest
from integration.command_line import ROOT, command, run_ok
from unit.scorers.tiny_weights import write_pickscore

STAGES = {
    "collect": ("stage=collect", "method=[re_denoise]"),
    "eval": ("stage=eval", "method=[standard]", "stage.num_seeds=1"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_complete_run_knows_itself_without_the_weights_of_its_scorers(tmp_path: Path, stage: str) -> None:
    (tmp_path / "weights").mkdir()
    config = write_pickscore(tmp_path / "weights")
    weights = [f"scorer.pickscore.{option}={getattr(config, option)}" for option in ("path", "tokenizer_path")]
    overrides = (*STAGES[stage], "scorer=[shapes_clip,pickscore]", *weights, "stage.num_prompts=2")
    run_ok(tmp_path / "outputs", *overrides)
    shutil.rmtree(tmp_path / "weights")
    python, *arguments = command(tmp_path / "outputs", *overrides)
    done = subprocess.run(
        [python, "-X", "importtime", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "shapes@v1 is complete." in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "goldennoise.stages.job" in loaded
    assert "torch" not in loaded
