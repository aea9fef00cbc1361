"""stage=score on rendered scenes: killed in the middle, it ends with the table of a run that was not."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from integration.command_line import goldennoise, run_ok, start
from PIL import Image

from goldennoise.data.shapes.captions import benchmark
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import sample_scene

NUM_IMAGES = 400


@pytest.mark.slow
def test_killed_and_run_again(tmp_path: Path) -> None:
    captions = benchmark(NUM_IMAGES)
    dice = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number, caption in enumerate(captions):
        Image.fromarray(render(sample_scene(caption, dice))).save(tmp_path / f"images/{number}.png")
    (tmp_path / "prompts.txt").write_text("".join(f"{caption.text}\n" for caption in captions))
    overrides = (
        *("stage=score", f"stage.images={tmp_path / 'images'}", f"prompts.path={tmp_path / 'prompts.txt'}"),
        *("scorer=[shapes_clip,shapes_verifier,weighted_sum]", "scorer.weighted_sum.parts={shapes_clip: 2}"),
        *("compute=cpu", "compute.batch_size=4", "stage.images_per_part=20"),
    )

    parts = tmp_path / "killed/image_scores/shapes/v1.partial/parts"
    process = start(tmp_path / "killed", *overrides)
    while process.poll() is None and len(list(parts.glob("*.parquet"))) < 2:
        time.sleep(0.02)
    process.kill()
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert 2 <= len(finished) < NUM_IMAGES // 20
    run_ok(tmp_path / "killed", *overrides)
    folder = tmp_path / "killed/image_scores/shapes/v1"
    assert {name: (folder / "parts" / name).stat().st_mtime_ns for name in finished} == finished

    run_ok(tmp_path / "whole", *overrides)
    killed, whole = (
        pd.read_parquet(tmp_path / run / "image_scores/shapes/v1/scores.parquet") for run in ("killed", "whole")
    )
    pd.testing.assert_frame_equal(killed, whole)
    assert list(whole["image"]) == [f"{number}.png" for number in range(NUM_IMAGES)]
    assert (whole["shapes_verifier"] == 1).mean() > 0.95
    np.testing.assert_allclose(whole["weighted_sum"], 2 * whole["shapes_clip"], rtol=1e-6)
    assert "image_scores/shapes@v1 is complete." in run_ok(tmp_path / "killed", *overrides)


def test_a_missing_image_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in (0, 2):
        Image.new("RGB", (64, 64)).save(tmp_path / f"images/{number}.png")
    (tmp_path / "prompts.txt").write_text("a red circle\na blue circle\na green circle\n")
    images, prompts = f"stage.images={tmp_path / 'images'}", f"prompts.path={tmp_path / 'prompts.txt'}"
    failed = goldennoise(tmp_path, "stage=score", images, prompts, "scorer=[shapes_clip]")
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1
    assert "an image seems to be missing between 0.png and 2.png" in failed.stderr


def test_a_table_in_the_folder_needs_no_prompts(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    captions = benchmark(3)
    for number, caption in enumerate(captions):
        Image.fromarray(render(sample_scene(caption, np.random.default_rng(number)))).save(folder / f"{number}.png")
    rows = [f'{number}.png,"{caption.text}"' for number, caption in enumerate(captions)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text", *reversed(rows)]))
    (folder / "notes.txt").touch()
    done = goldennoise(tmp_path, "stage=score", f"stage.images={folder}", "scorer=[shapes_verifier]", "compute=cpu")
    assert done.returncode == 0, done.stderr
    assert f"WARNING: {folder}: 1 file is not read (notes.txt)" in done.stderr
    table = pd.read_parquet(tmp_path / "image_scores/shapes/v1/scores.parquet")
    assert list(table["prompt"]) == [caption.text for caption in captions]
    assert list(table["shapes_verifier"]) == [1.0] * 3
