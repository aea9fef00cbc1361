"""Writes the trained networks as the package ships them: fp16 safetensors in the formats of diffusers and open_clip."""

import json
import shutil
from pathlib import Path

import preference
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTokenizer

from goldennoise.data.captioned_images import Renders
from goldennoise.data.shapes.locations import CLIP, TONES
from goldennoise.diffusion import families
from goldennoise.diffusion.tone import tones_of

NUM_TONES = 512


def write_pipeline(trained: Path, folder: Path) -> None:
    """trained: a model artifact."""
    pipeline = StableDiffusionPipeline.from_pretrained(trained, dtype=torch.float16)
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.save_pretrained(folder)
    for file in folder.rglob("*.json"):
        content = json.loads(file.read_text("utf-8"))
        # The folder of this machine that it was trained in.
        if content.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def write_tones() -> None:
    """Of renders of training captions, as the shipped pipeline encodes them."""
    family = families.component("stable_diffusion")
    tones_of(family.build(family.Config(), torch.device("cpu")), Renders().some(NUM_TONES)).save(TONES)


def write_preference(model: nn.Module, tokenizer: CLIPTokenizer, clip: Path = CLIP) -> None:
    shutil.rmtree(clip, ignore_errors=True)
    preference.write_config(tokenizer, clip)
    state = {
        name: value.half().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(state, clip / "open_clip_model.safetensors")
