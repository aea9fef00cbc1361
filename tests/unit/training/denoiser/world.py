"""A small training on the shapes world: its pipeline, captions, and latents that are noise."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from goldennoise.data.shapes.training_scenes import TRAINING, drawn_captions
from goldennoise.diffusion import families
from goldennoise.training.denoiser.data import Captions, TrainingData
from goldennoise.training.denoiser.latents import LATENTS, Latents, cut

SIZES = {"block_out_channels": [16, 16, 16], "attention_head_dim": 4, "norm_num_groups": 4}
"""Of a UNet that takes milliseconds."""


def world() -> Any:
    """The packaged model, with weights of its own that a training may change."""
    family = families.component("stable_diffusion")
    return family.build(family.Config(), torch.device("cpu"))


def noise_as_latents(num: int) -> torch.Tensor:
    return torch.randn(num, 4, 16, 16, generator=torch.Generator().manual_seed(3))


def training_data(model: Any, folder: Path, num: int = 60, num_held_out: int = 12) -> TrainingData:
    """Latents in parts below `folder`, with captions of the world."""
    latents = noise_as_latents(num)
    parts = cut(num, 25)
    for part in parts:
        part.file(folder).parent.mkdir(parents=True, exist_ok=True)
        save_file({LATENTS: latents[part.start : part.stop].contiguous()}, part.file(folder))
    return TrainingData(Latents(folder, parts), Captions.of(model, drawn_captions(TRAINING, num)), num_held_out)
