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
import denoiser
import measure
import numpy as np
import packaged_network
import preference
import tokenizer
import torch
from diffusers import AutoencoderKL
from groups import training_groups
from scene_data import training_scenes

from goldennoise.data.shapes.locations import RECORD

FOLDER = Path("outputs/shapes_world")
NUM_SCENES = 60_000
NUM_GROUPS = 8_000


def main() -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    pixels, captions = training_scenes(NUM_SCENES, FOLDER)
    words = tokenizer.train(FOLDER / "tokenizer")
    vae = autoencoder.train(pixels, FOLDER)
    model = denoiser.train(_latents(vae, pixels), captions, words, FOLDER)
    # One that was used would be saved with the padding it was used with.
    fresh = tokenizer.train(FOLDER / "tokenizer")
    assemble.write_pipeline(vae, model, fresh)
    assemble.write_tones()
    clip = preference.train(training_groups(NUM_GROUPS, FOLDER), words, FOLDER)
    assemble.write_preference(clip, fresh)
    packaged_network.main()
    record = {"made": _how(), "measured": measure.all_figures(FOLDER / "measured")}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record["measured"], indent=2))


def _latents(vae: AutoencoderKL, pixels: np.ndarray) -> torch.Tensor:
    file = FOLDER / "latents.npy"
    if not file.exists():
        np.save(file, autoencoder.encode(vae, pixels).numpy())
    return torch.from_numpy(np.load(file))


def _how() -> dict:
    return {
        "command": "python scripts/shapes_world",
        "recipes": {
            **{name: asdict(recipe) for name, recipe in autoencoder.RECIPES.items()},
            "denoiser": asdict(denoiser.RECIPE),
            "preference": asdict(preference.RECIPE),
        },
        "num_scenes": NUM_SCENES,
        "num_groups": NUM_GROUPS,
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "open_clip_torch")},
        "device": f"cpu, {os.cpu_count()} cores, {platform.machine()}",
    }


if __name__ == "__main__":
    main()
