"""The four stages through the real command line on the shapes world."""

import itertools
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionPipeline
from integration.command_line import ROOT, command, goldennoise, run_ok
from integration.conftest import STAGES

from goldennoise import GoldenNoise
from goldennoise.data.shapes.locations import PIPELINE

ARTIFACTS = {"collect": "pairs", "train": "npnet", "eval": "scores", "report": "report"}


def record(outputs: Path, stage: str) -> dict:
    return json.loads((outputs / ARTIFACTS[stage] / "smoke" / "v1" / "record.json").read_text())


def written(outputs: Path) -> dict[Path, int]:
    """When each file of each artifact was written."""
    files = (path for path in outputs.glob("*/*/v1/**/*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files}


def test_artifacts_chain_by_fingerprint(pipeline: Path) -> None:
    records = {stage: record(pipeline, stage) for stage in STAGES}
    for earlier, later in itertools.pairwise(STAGES):
        fingerprints = [entry["fingerprint"] for entry in records[later]["inputs"]]
        assert records[earlier]["fingerprint"] in fingerprints
    assert not list(pipeline.rglob("*.partial"))


def test_second_run_does_nothing(pipeline: Path) -> None:
    before = written(pipeline)
    python, *arguments = command(pipeline, "experiment=smoke")
    done = subprocess.run(
        [python, "-X", "importtime", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for stage in STAGES:
        assert f"{ARTIFACTS[stage]}/smoke@v1 is complete" in done.stdout
    assert written(pipeline) == before
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "goldennoise.stages.job" in loaded
    assert not loaded & {"torch", "pandas", "diffusers", "transformers", "lightning"}


def test_the_whole_pipeline_is_checked_before_it_begins(tmp_path: Path) -> None:
    done = goldennoise(tmp_path, "experiment=smoke", "method=[standard,re_denoise]")
    assert done.returncode == 2
    assert "collect takes exactly one method" in done.stderr
    assert not list(tmp_path.glob("pairs/**/*.safetensors"))


def test_every_method_has_the_same_grid(pipeline: Path) -> None:
    scores = pd.read_parquet(pipeline / "scores/smoke/v1/scores.parquet")
    grids = {
        method: set(zip(rows["prompt_id"], rows["seed"], strict=True)) for method, rows in scores.groupby("method")
    }
    assert set(grids) == {"standard", "re_denoise", "npnet", "best_of_n"}
    assert len({frozenset(grid) for grid in grids.values()}) == 1
    assert len(grids["standard"]) == 12


def test_costs_are_counted_exactly(pipeline: Path) -> None:
    summary = json.loads((pipeline / "scores/smoke/v1/summary.json").read_text())
    cost = {name: method["evaluations_per_image"] for name, method in summary["methods"].items()}
    sampling = 2 * summary["model"]["num_steps"]
    assert cost == {
        "standard": sampling,
        "npnet": sampling,
        "re_denoise": sampling + 2 + 1,
        "best_of_n": sampling * (4 + 1),
    }


def test_report_is_one_page(pipeline: Path) -> None:
    page = (pipeline / "report/smoke/v1/index.html").read_text()
    assert "best_of_n" in page
    assert 'src="http' not in page


def test_three_lines_of_python(pipeline: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(PIPELINE, torch_dtype=torch.float32)
    golden = GoldenNoise.from_pretrained(pipeline / "npnet/smoke/v1")
    prompts = ["a red circle left of a blue square", "two green rings"]
    latents = golden(pipe, prompts, generator=torch.Generator().manual_seed(0))
    assert latents.shape == (2, 4, 16, 16)
    images = pipe(prompts, latents=latents, num_inference_steps=2, output_type="pt").images
    assert images.shape == (2, 3, 64, 64)


@pytest.mark.slow
def test_a_network_given_away_and_taken_back_scores_the_same(pipeline: Path, tmp_path: Path) -> None:
    GoldenNoise.from_pretrained(pipeline / "npnet/smoke/v1").save_pretrained(tmp_path / "given")
    card = (tmp_path / "given/README.md").read_text()
    assert "pairs/smoke@v1" in card
    run_ok(pipeline, "stage=convert", f"stage.npnet={tmp_path / 'given'}", "name=given")
    run_ok(pipeline, "stage=eval", "experiment=smoke", "name=given", "method=[standard,npnet]")
    summary = json.loads((pipeline / "scores/given/v1/summary.json").read_text())
    roles = {name: info["role"] for name, info in summary["scorers"].items()}
    assert roles == {"shapes_clip": "unknown", "shapes_verifier": "reporting"}
    columns = ["prompt_id", "seed", "scorer", "score"]
    given, trained = (
        pd.read_parquet(pipeline / f"scores/{name}/v1/scores.parquet").query("method == 'npnet'")[columns]
        for name in ("given", "smoke")
    )
    pd.testing.assert_frame_equal(given.reset_index(drop=True), trained.reset_index(drop=True))


def test_a_damaged_shard_is_refused_by_train_and_made_anew_by_collect(tmp_path: Path) -> None:
    run_ok(tmp_path, "stage=collect", "experiment=smoke")
    shard = tmp_path / "pairs/smoke/v1/pairs-00000.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-4] + bytes(4))
    refused = goldennoise(tmp_path, "stage=train", "experiment=smoke")
    assert refused.returncode == 2
    assert shard.name in refused.stderr
    assert "Traceback" not in refused.stderr
    repaired = goldennoise(tmp_path, "stage=collect", "experiment=smoke")
    assert repaired.returncode == 0
    assert f"is damaged and is repaired: {shard.name}" in repaired.stderr
    assert shard.read_bytes() == whole


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("stage=train", "stage.pairs=pairs/nothing@latest"), "nothing"),
        (("stage=collect", "stage.marginn=1"), "stage.margin"),
        (("stage=eval", "experiment=smoke", "method=[standard,npnet]", "name=other"), "no npnet artifact"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, overrides: tuple[str, ...], sentence: str) -> None:
    done = goldennoise(tmp_path, *overrides)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_network_can_be_trained_for_a_reward(pipeline: Path) -> None:
    overrides = ("stage=train", "experiment=smoke", "stage.objective=reward", "stage.reward_steps=1")
    run_ok(pipeline, *overrides, "scorer=[shapes_clip]", "name=rewarded", "stage.pairs=pairs/smoke@v1")
    trained = json.loads((pipeline / "npnet/rewarded/v1/record.json").read_text())
    assert trained["identity"]["stage"]["reward_scorer"]["kind"] == "shapes_clip"
    assert trained["counts"]["val_loss"] <= trained["counts"]["identity_val_loss"]
    run_ok(pipeline, "stage=eval", "experiment=smoke", "name=rewarded", "method=[standard,npnet]")
    summary = json.loads((pipeline / "scores/rewarded/v1/summary.json").read_text())
    assert summary["scorers"]["shapes_clip"]["role"] == "selecting"
    assert summary["scorers"]["shapes_verifier"]["role"] == "reporting"


@pytest.mark.slow
def test_a_lora_on_the_denoiser_learns_by_a_reward_and_costs_one_evaluation(tmp_path: Path) -> None:
    own = ("name=lora", "model.num_steps=2", "model.guidance=1")
    # The objective takes no notice of golden noise.
    run_ok(tmp_path, "stage=collect", "method=[layout]", "stage.preference=null", "stage.num_prompts=6", *own)
    run_ok(
        tmp_path, "stage=train", "npnet=noise_lora", "stage.objective=reward", "stage.reward_steps=1", "npnet.rank=2",
        "scorer=[shapes_clip]", "stage.num_epochs=1", "stage.batch_size=4", "stage.validation_share=0.3",
        "stage.reward_clip=1", *own,
    )  # fmt: skip
    run_ok(
        tmp_path, "stage=eval", "method=[standard,npnet]", "method.npnet.artifact=npnet/lora@v1", "stage.num_prompts=2",
        "stage.num_seeds=1", "stage.num_bootstrap=100", *own,
    )  # fmt: skip
    summary = json.loads((tmp_path / "scores/lora/v1/summary.json").read_text())
    assert {name: method["evaluations_per_image"] for name, method in summary["methods"].items()} == {
        "standard": 2,
        "npnet": 3,
    }
    pipe = StableDiffusionPipeline.from_pretrained(PIPELINE)
    pipe.load_lora_weights(tmp_path / "npnet/lora/v1", weight_name="model.safetensors")
    assert pipe.get_active_adapters()


@pytest.mark.slow
def test_a_network_learns_from_layouts_of_renders_and_is_evaluated(tmp_path: Path) -> None:
    layouts = ("name=layouts", "model.num_steps=2")
    printed = run_ok(
        tmp_path, "stage=collect", "method=[layout]", "stage.preference=null", "stage.num_prompts=60",
        "stage.num_seeds=2", *layouts,
    )  # fmt: skip
    assert "pairs/layouts@v1: 120 pairs, not filtered" in printed
    run_ok(
        tmp_path, "stage=train", "npnet=layouts", "stage.objective=layout_likelihood", "stage.num_epochs=1",
        "stage.batch_size=24", "stage.validation_share=0.3", "npnet.rank=16", *layouts,
    )  # fmt: skip
    run_ok(
        tmp_path, "stage=eval", "method=[standard,npnet]", "method.npnet.artifact=npnet/layouts@v1",
        "stage.num_prompts=4", "stage.num_seeds=1", "stage.num_bootstrap=100", *layouts,
    )  # fmt: skip
    summary = json.loads((tmp_path / "scores/layouts/v1/summary.json").read_text())
    cost = {name: method["evaluations_per_image"] for name, method in summary["methods"].items()}
    assert cost == {"standard": 4, "npnet": 4}
    # No scorer had a say in the pairs.
    assert {scorer["role"] for scorer in summary["scorers"].values()} == {"reporting"}


def test_a_schedule_control_is_compared_and_named_as_such(tmp_path: Path) -> None:
    schedule = ("method.fixed_schedule.num_steps=4", "method.fixed_schedule.spacing=ays")
    chosen = ("stage=eval", "method=[standard,fixed_schedule]", *schedule, "scorer=[shapes_verifier]", "name=schedule")
    run_ok(tmp_path, *chosen, "stage.num_prompts=2", "stage.num_seeds=2")
    summary = json.loads((tmp_path / "scores/schedule/v1/summary.json").read_text())
    found = {name: method["evaluations_per_image"] for name, method in summary["methods"].items()}
    assert found == {"standard": 40.0, "fixed_schedule": 8.0}
    run_ok(tmp_path, "stage=report", "name=schedule")
    assert r"fixed\_schedule is a schedule control" in (tmp_path / "report/schedule/v1/tables.md").read_text()
