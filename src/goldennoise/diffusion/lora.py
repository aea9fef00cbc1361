"""LoRA weights merged into a pipeline's networks (Hu et al., arXiv 2106.09685)."""

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from goldennoise.errors import ModelError
from goldennoise.hub import find_file

STANDARD_FILE = "pytorch_lora_weights.safetensors"
"""As diffusers calls it."""
IN_REPOSITORY = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:/(?P<file>.+\.safetensors))?")


def merge_lora(pipe: Any, lora: str) -> None:
    """Add a LoRA to the weights of a diffusers pipeline for good: sampling costs the same as without it.

    lora: a safetensors file, or a local folder or hub id with `STANDARD_FILE`, or "owner/name/FILE.safetensors".
    Raises `ModelError` for a file that is not to be had, is damaged or does not fit the pipeline.
    """
    if not hasattr(pipe, "load_lora_weights"):
        raise ModelError(
            f"model.lora={lora}: diffusers reads no LoRA for a {type(pipe).__name__}; merge it into the weights "
            "yourself and give the result as model.path."
        )
    file = _file(lora)
    try:
        pipe.load_lora_weights(str(file.parent), weight_name=file.name)
        fits = bool(pipe.get_active_adapters())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} is truncated or damaged ({error}): copy or fetch it again.") from error
    except (ValueError, RuntimeError, KeyError):
        fits = False
    if not fits:
        raise ModelError(
            f"{file} is no LoRA for a {type(pipe).__name__} of these widths: give one made for this model."
        )
    pipe.fuse_lora()
    pipe.unload_lora_weights()


def _file(lora: str) -> Path:
    path = Path(lora).expanduser()
    if path.is_file():
        return path
    in_repository = None if path.is_dir() else IN_REPOSITORY.fullmatch(lora)
    if in_repository:
        return find_file(in_repository["repository"], in_repository["file"] or STANDARD_FILE)
    if not path.is_dir():
        raise ModelError(
            f'model.lora={lora}: there is no such file or folder; give one, or a hub id such as "owner/name" or '
            '"owner/name/FILE.safetensors".'
        )
    return find_file(lora, STANDARD_FILE)
