"""Collect, train, eval and sample on tiny random pipelines: FLUX collects through the real command line."""

import json
from pathlib import Path

import pandas as pd
import pytest
from integration import in_process
from integration.command_line import ROOT, run_ok
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_flows import FLOWS
from tiny_transformers import TRANSFORMERS

from goldennoise.config.compose import RunConfig, load
from goldennoise.stages import component

FAMILIES = TRANSFORMERS | FLOWS | {"stable_diffusion_xl": tiny_xl_pipeline}
OPTIONS = {
    "stable_diffusion_xl": "sdxl",
    "pixart_sigma": "pixart_sigma",
    "hunyuan_dit": "hunyuan_dit",
    "stable_diffusion_3": "sd35",
    "sana": "sana",
    "flux": "flux_dev",
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_collect_train_eval_and_sample(kind: str, tmp_path: Path) -> None:
    FAMILIES[kind]().save_pretrained(tmp_path / "model")
    model = (
        *(f"model={OPTIONS[kind]}", f"model.path={tmp_path / 'model'}", "model.dtype=float32"),
        *("model.height=64", "model.width=64", "compute=cpu"),
        *(["model.variant=null"] if kind == "stable_diffusion_xl" else []),  # of files that are saved here
    )
    overrides = ("experiment=smoke", *model)
    few = {"collect": ["stage.num_prompts=4"], "eval": ["method=[standard,re_denoise,npnet]", "stage.num_seeds=1"]}
    if kind == "flux":
        run_ok(tmp_path, "stage=collect", *overrides, *few["collect"])
    for stage in ("collect", "train", "eval"):  # what is complete already is left alone
        config: RunConfig = load([f"stage={stage}", *overrides, *few.get(stage, []), f"outputs={tmp_path}"])
        component(stage).run(config)
    summary = json.loads((tmp_path / "scores/smoke/v1/summary.json").read_text())
    cost = {name: method["evaluations_per_image"] for name, method in summary["methods"].items()}
    if kind == "flux":
        assert cost == {"standard": 2, "npnet": 2, "re_denoise": 2 + 1 + 1}
    else:
        assert cost == {"standard": 4, "npnet": 4, "re_denoise": 4 + 2 + 1}
    assert not (tmp_path / "pairs/smoke/v2").exists()

    network = ["method=[npnet]", "method.npnet.artifact=npnet/smoke@v1"]
    asked = ["stage=sample", "stage.prompt=a red circle", *network, *model, "model.num_steps=2"]
    made = component("sample").run(load([*asked, f"outputs={tmp_path}", "name=one"]))
    assert len(list((made.path / "images").glob("*/*.png"))) == 2
    assert (made.path / "side_by_side.png").is_file()


@pytest.mark.parametrize("kind", ["stable_diffusion", *OPTIONS])
def test_a_schedule_is_trained_and_sampled_on(kind: str, tmp_path: Path) -> None:
    make = tiny_pipeline if kind == "stable_diffusion" else FAMILIES[kind]
    make().save_pretrained(tmp_path / "model")
    sampler = "flow_euler" if kind in FLOWS else "ddim"
    shared = (
        *(f"model={OPTIONS.get(kind, 'sd15')}", f"model.path={tmp_path / 'model'}", f"model.scheduler={sampler}"),
        *("model.dtype=float32", "model.height=64", "model.width=64", "compute=cpu", f"outputs={tmp_path}"),
        *(["model.variant=null"] if kind.startswith("stable_diffusion_xl") else []),
        *("name=tiny", "prompts=shapes_train", "scorer=[shapes_clip]"),
    )
    if kind == "stable_diffusion_xl":
        shared = (*shared, "model.timestep_spacing=null")
    brief = ("stage.num_updates=1", "stage.prompts_per_update=2", "stage.num_rollouts=2", "stage.num_validation=2")
    chain = ("stage.num_prompts=4", "stage.max_steps=4", "stage.min_level=0.1", "stage.init_alpha=0.5")
    component("train_schedule").run(load(["stage=train_schedule", *shared, *brief, *chain]))
    few = ("stage.num_prompts=2", "stage.num_seeds=2", "stage.num_bootstrap=100")
    scores = component("eval").run(load(["stage=eval_schedule", *shared, *few]))
    cost = json.loads((scores.path / "summary.json").read_text())["methods"]
    steps = pd.read_parquet(scores.path / "levels.parquet").set_index("method")["levels"].map(len) - 1
    for method, result in cost.items():
        assert result["evaluations_per_image"] == steps[method].mean() * (1 if kind == "flux" else 2)
    assert steps["time_prediction"].max() <= 28
    assert 20 < steps["time_prediction_untrained"].min() <= steps["time_prediction_untrained"].max() < 27


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_a_model_that_starts_from_pure_noise_runs_on_the_command_line(scheduler: str, tmp_path: Path) -> None:
    zero = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    tiny_pipeline(**zero).save_pretrained(tmp_path / "model")
    model = ("model=sd21", f"model.path={tmp_path / 'model'}", "model.dtype=float32", f"model.scheduler={scheduler}")
    small = ("model.height=64", "model.width=64", "compute=cpu", f"outputs={tmp_path}", "experiment=smoke")

    def ended(stage: str, *overrides: str) -> in_process.Ended:
        return in_process.run([f"stage={stage}", *small, *model, *overrides], ROOT)

    methods = "method=[standard,re_denoise,npnet,best_of_n]"
    for stage, own in (("collect", ("stage.num_prompts=4",)), ("train", ()), ("eval", (methods, "stage.num_seeds=1"))):
        done = ended(stage, *own)
        assert (done.code, done.faults()) == (0, [])
    summary = json.loads((tmp_path / "scores/smoke/v1/summary.json").read_text())
    cost = {name: method["evaluations_per_image"] for name, method in summary["methods"].items()}
    assert cost == {"standard": 4, "npnet": 4, "re_denoise": 4 + 2 + 1, "best_of_n": 4 + 4 * 4}
    refused = ended("eval", "method=[standard,re_paint]", "stage.num_seeds=1", "name=refused")
    assert refused.code == 2
    assert "method re_paint: Position 0 of this model is pure noise (alpha-bar 0)" in refused.sentences[0]
