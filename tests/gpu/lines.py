"""Checks of whole command lines on a device: collect, train, eval, and the trainings of other kinds."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from gpu.place import Found, Place, add, deviation
from integration.in_process import run
from safetensors.torch import load_file
from unit.training.denoiser.tiny_models import BRIEF as BRIEF_MODEL
from unit.training.denoiser.tiny_models import MODELS, write_images, write_models

from goldennoise.generation.cost import GPU_MEMORY
from goldennoise.store.artifacts import ArtifactStore

TESTS = Path(__file__).parents[1]
SMALL = ("model.num_steps=2", "scorer=[shapes_clip,shapes_verifier]", "name=gpu")
PAIRS = ("stage=collect", "method=[re_denoise]", "stage.num_prompts=24", "stage.num_seeds=1", "stage.preference=null")
NETWORK = (
    *("npnet.image_size=32", "npnet.embed_dim=12", "npnet.depths=[1,1]", "npnet.heads=[2,2]"),
    *("npnet.vector_hidden=16", "npnet.value_hidden=32"),
)
TRAINING = ("stage=train", "stage.num_epochs=2", "stage.batch_size=8", "stage.sample_every_epochs=1")
EVAL = ("stage=eval", "stage.num_prompts=2", "stage.num_seeds=1", "stage.num_bootstrap=100")
SCHEDULE = (
    *("stage=train_schedule", "stage.num_updates=2", "stage.prompts_per_update=2", "stage.num_rollouts=2"),
    *("stage.num_prompts=8", "stage.num_validation=3", "stage.max_steps=5", "stage.init_alpha=0"),
    "stage.min_level=0.05",
)
LAYOUTS = (
    *("npnet=layouts", "npnet.rank=4", "npnet.width=16", "npnet.hidden=16", "npnet.depth=1"),
    *("stage.batch_size=12", "stage.validation_share=0.5"),
)
KINDS: dict[str, tuple[str, ...]] = {
    "regression": (*TRAINING, *NETWORK),
    "regression in bf16-mixed": (*TRAINING, *NETWORK, "stage.precision=bf16-mixed"),
    "reward through the sampler": (*TRAINING, *NETWORK, "stage.objective=reward", "scorer=[shapes_clip]"),
    "a LoRA of the denoiser": (*TRAINING, "npnet=noise_lora", "npnet.rank=2"),
    "layouts by likelihood": (*TRAINING, *LAYOUTS, "stage.objective=layout_likelihood"),
    "layouts by reward": (*TRAINING, *LAYOUTS, "stage.objective=reward", "scorer=[shapes_clip]"),
    "two workers that load": (*TRAINING, *NETWORK, "compute.num_workers=2"),
}
"""Of `stage=train`, on the pairs that are collected first."""


def line(place: Place, folder: Path, *arguments: str) -> None:
    """A command line on the place's device, in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    done = run([*SMALL, f"compute={'cuda' if place.is_gpu else 'cpu'}", *arguments], folder)
    assert done.code in (0, None), f"{done}\n{done.stderr[-1500:]}{done.escaped[-1500:]}"
    assert not done.faults(), done.faults()


def on_cpu(place: Place) -> Place:
    return Place(torch.device("cpu"), place.folder)


def pairs(place: Place) -> Found:
    """Source noise is the same bit for bit; golden noise up to rounding."""
    found = []
    for name, where in (("cpu", on_cpu(place)), ("device", place)):
        line(where, place.folder / name, *PAIRS)
        artifact = ArtifactStore(place.folder / name / "outputs").resolve("gpu", "pairs")
        found.append(load_file(next(artifact.path.rglob("*.safetensors"))))
    assert torch.equal(found[0]["source"], found[1]["source"]), "other source noise"
    change, expected = (each["golden"].float() - each["source"].float() for each in reversed(found))
    return Found(deviation(change, expected))


def training(place: Place, kind: str) -> Found:
    """The validation loss of the last epoch; that of training on a GPU must be near."""
    losses = []
    for name, where in (("cpu", on_cpu(place)), ("device", place)):
        folder = place.folder / name
        line(where, folder, *PAIRS)
        line(where, folder, *KINDS[kind])
        artifact = ArtifactStore(folder / "outputs").resolve("gpu", "npnet")
        losses.append(torch.tensor(pd.read_csv(artifact.path / "training.csv")["val_loss"].to_numpy()))
    return Found(deviation(losses[1], losses[0]))


def twice(place: Place) -> Found:
    """Two trainings on the device end with the same weights bit for bit."""
    line(place, place.folder, *PAIRS)
    weights = []
    for name in ("one", "two"):
        line(place, place.folder, *KINDS["regression"], "stage.pairs=pairs/gpu@latest", f"name={name}")
        artifact = ArtifactStore(place.folder / "outputs").resolve(name, "npnet")
        weights.append(load_file(artifact.path / "model.safetensors"))
    return Found(max(deviation(weights[1][name], tensor) for name, tensor in weights[0].items()))


def evaluation(place: Place) -> Found:
    """Scores of methods, those of the device against the CPU's; and that GPU memory is measured."""
    scores = []
    chosen = ("method=[standard,re_denoise,npnet_packaged]", "scorer=[shapes_clip]")
    for name, where in (("cpu", on_cpu(place)), ("device", place)):
        line(where, place.folder / name, *EVAL, *chosen)
        artifact = ArtifactStore(place.folder / name / "outputs").resolve("gpu", "scores")
        table = pd.read_parquet(artifact.path / "scores.parquet").sort_values(["method", "prompt_id", "seed"])
        scores.append(torch.tensor(table["score"].to_numpy()))
    memory = json.loads((artifact.path / "summary.json").read_text())["memory"]
    assert not place.is_gpu or memory == GPU_MEMORY, memory
    return Found(deviation(scores[1], scores[0]))


def schedules(place: Place) -> Found:
    line(place, place.folder, *SCHEDULE)
    line(place, place.folder, *EVAL, "method=[standard,time_prediction]", "scorer=[shapes_clip]")
    return Found()


def models(place: Place, model: str, options: Sequence[str] = ()) -> Found:
    """`stage=train_model` on a tiny model."""
    write_models(place.folder)
    write_images(place.folder / "images")
    brief = [f"stage.{option}" for option in (f"images={place.folder / 'images'}", *BRIEF_MODEL)]
    own = ("stage=train_model", *MODELS[model], f"model.path={place.folder / model}", *brief)
    line(place, place.folder, *(part for part in own if part != "model.num_steps=2"), *options)
    return Found()


def one_process(place: Place) -> Found:
    """torchrun starts one process that joins the process group of several, NCCL's on a GPU, and trains by DDP in it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    paths = os.pathsep.join([str(TESTS), *(path for path in sys.path if path)])
    done = subprocess.run(
        [*command, str(TESTS / "gpu" / "group.py"), place.device.type, str(place.folder)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return Found(told["deviation"], f"backend {told['backend']}, reduced on {told['device']}")


def register() -> None:
    add("collect, source and golden noise", pairs, 1e-2, 120)
    add("eval, scores", evaluation, 1e-2, 120)
    for kind in KINDS:
        add(f"train, {kind}", training, 0.05 if "bf16" in kind else 1e-2, 120, kind=kind)
    add("train twice, the same weights", twice, 0.0, 120)
    add("train_schedule and eval", schedules, None, 120)
    add("train_model, stable_diffusion", models, None, 120, model="sd")
    add("train_model, stable_diffusion_xl", models, None, 120, model="xl", options=("stage.train_text_encoder=false",))
    add("torchrun, one process in a process group", one_process, 1e-4, 120)
