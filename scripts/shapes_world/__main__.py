"""Builds the shapes world: `python scripts/shapes_world` trains all networks, ships them and measures them.

Hours on two cores; a killed run goes on where it was. Everything follows from the seeds in the recipes.
"""

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import assemble
import autoencoder
import measure
import packaged_network
import preference
import tokenizer
import torch
import turbo
import untrained
from groups import training_groups
from scene_data import training_scenes

from goldennoise.config.compose import RunConfig, load
from goldennoise.data.shapes.locations import PIPELINE, RECORD
from goldennoise.stages import train_model

FOLDER = Path("outputs/shapes_world")
NUM_SCENES = 60_000
NUM_GROUPS = 8_000


def main() -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    pixels, _ = training_scenes(NUM_SCENES, FOLDER)
    words = tokenizer.train(FOLDER / "tokenizer")
    vae = autoencoder.train(pixels, FOLDER)
    # One that was used would be saved with the padding it was used with.
    fresh = tokenizer.train(FOLDER / "tokenizer")
    untrained.write(vae, fresh, FOLDER / "untrained")
    assemble.write_pipeline(train_model.run(_denoiser()).path, PIPELINE)
    assemble.write_tones()
    turbo.main()
    clip = preference.train(training_groups(NUM_GROUPS, FOLDER), words, FOLDER)
    assemble.write_preference(clip, fresh)
    packaged_network.main()
    record = {"made": _how(), "measured": measure.all_figures(FOLDER / "measured")}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record["measured"], indent=2))


def _denoiser() -> RunConfig:
    """Its training: the defaults of stage=train_model."""
    start = (f"model.path={FOLDER / 'untrained'}", f"outputs={FOLDER}", "name=denoiser")
    return load(("stage=train_model", f"stage.num_images={NUM_SCENES}", *start))


def _how() -> dict:
    return {
        "command": "python scripts/shapes_world",
        "recipes": {
            **{name: asdict(recipe) for name, recipe in autoencoder.RECIPES.items()},
            "denoiser": asdict(_denoiser().stage),
            "preference": asdict(preference.RECIPE),
        },
        "num_scenes": NUM_SCENES,
        "num_groups": NUM_GROUPS,
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "open_clip_torch")},
        "device": f"cpu, {os.cpu_count()} cores, {platform.machine()}",
    }


if __name__ == "__main__":
    main()
