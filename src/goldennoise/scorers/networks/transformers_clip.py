"""CLIP as transformers builds it, for the scorers that were trained with it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from goldennoise.errors import ScorerError, shortened
from goldennoise.scorers.networks.preprocess import cropped
from goldennoise.store.hub import find_file, read_description

POSITION_IDS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Buffers that older transformers stored with the weights, and no version needs."""


def seen(clip: Any, images: Tensor) -> Any:
    """What the vision model of a `CLIPModel` gives for the middle of images (B, 3, height, width) in [0, 1]."""
    pixels = cropped(images.to(clip.device), clip.vision_model.config.image_size, odd="down")
    return clip.vision_model(pixels.to(clip.dtype))


def untrained_clip(path: str, revision: str | None, tensors: Mapping[str, Tensor]) -> Any:
    """The architecture that config.json in `path`, a folder or a hub id, describes.

    tensors: the weights it is for, and maybe others.
    Raises `ModelError` for a missing file, `ScorerError` for one that describes no CLIP, or a CLIP far
    larger than its weights.
    """
    file = find_file(path, "config.json", revision=revision)
    described = read_description(file, "CLIP model", ScorerError)
    try:
        config = CLIPConfig.from_dict(described)
        # Sizes that the weights do not have could ask for all memory.
        with torch.device("meta"):
            num_numbers = sum(parameter.numel() for parameter in CLIPModel(config).parameters())
        available = sum(tensor.numel() for tensor in tensors.values())
        model = CLIPModel(config) if num_numbers <= 2 * available else None
    # transformers fails on other values than its own with whatever its first wrong step raises.
    except Exception as error:
        raise ScorerError(f"{file} describes no CLIP model ({shortened(error, 200)}): fetch it again.") from error
    if model is None:
        raise ScorerError(
            f"{file} describes a CLIP model of {num_numbers} numbers, and its weights are {available}: fetch both."
        )
    return model
