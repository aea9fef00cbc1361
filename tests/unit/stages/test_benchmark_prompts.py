"""Every stage that trains or collects refuses the prompts of a benchmark: GenEval's ship, so they are always known."""

import importlib
from pathlib import Path

import pytest
from PIL import Image

from goldennoise.config.compose import load
from goldennoise.errors import ConfigError, DataError

OF_GENEVAL = "A photo of a bench"
FROM_PROMPTS = ("collect", "train_schedule")
FROM_IMAGES = ("train_model", "train_model_lora", "distil")


@pytest.mark.parametrize("stage", FROM_PROMPTS)
def test_prompts(tmp_path: Path, stage: str) -> None:
    (tmp_path / "own.txt").write_text("\n".join([*(f"tree {number}" for number in range(20)), OF_GENEVAL]))
    told = ["prompts=file", f"prompts.path={tmp_path}/own.txt", "stage.num_prompts=null"]
    config = load([f"stage={stage}", f"outputs={tmp_path}/outputs", *told])
    expected = r"own\.txt holds 1 prompt of benchmarks, .*: 1 of geneval \(A photo of a bench\); leave them out with "
    with pytest.raises(DataError, match=rf"{expected}prompts\.held_out=\[data/prompts/geneval_metadata\.jsonl\]"):
        importlib.import_module(f"goldennoise.stages.{stage}").run(config)


@pytest.mark.parametrize("stage", FROM_PROMPTS)
def test_a_benchmark_itself(tmp_path: Path, stage: str) -> None:
    config = load([f"stage={stage}", f"outputs={tmp_path}/outputs", "prompts=geneval", "stage.num_prompts=null"])
    with pytest.raises(ConfigError, match=r"prompts\.benchmark=true: .*nothing may be trained on it"):
        importlib.import_module(f"goldennoise.stages.{stage}").run(config)


@pytest.mark.parametrize("stage", FROM_IMAGES)
def test_captions_of_images(tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldennoise.stages.model_training.opened", lambda *_: pytest.fail("nothing begins"))
    lines = ["file_name,text"]
    for number, text in enumerate(["a tree", OF_GENEVAL, "a river"]):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{text}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    config = load([f"stage={stage}", f"outputs={tmp_path}/outputs", f"stage.images={tmp_path}"])
    expected = (
        r"metadata\.csv holds 1 prompt of benchmarks, .*: 1 of geneval \(A photo of a bench\); delete their lines"
    )
    with pytest.raises(DataError, match=expected):
        importlib.import_module(f"goldennoise.stages.{config.stage.kind}").run(config)
    assert not (tmp_path / "outputs").exists()
