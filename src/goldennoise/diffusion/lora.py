"""LoRA weights merged into a pipeline's networks (Hu et al., arXiv 2106.09685)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from goldennoise.errors import ModelError, shortened
from goldennoise.store.hub import HUB_ID, find_file, hub_files, local_path

SUFFIX = ".safetensors"
STANDARD_FILE = f"pytorch_lora_weights{SUFFIX}"
"""As diffusers calls it."""
IN_REPOSITORY = re.compile(rf"(?P<repository>{HUB_ID.pattern})(?:/(?P<file>.+\.safetensors))?")


def merge_lora(pipe: Any, lora: str) -> None:
    """Add a LoRA to the weights of a diffusers pipeline for good: sampling costs the same as without it.

    lora: a safetensors file, or a local folder or hub id with `STANDARD_FILE`, or "owner/name/FILE.safetensors".
    Raises `ModelError` for a file that is missing or damaged, or does not fit the pipeline.
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
        reason = shortened(str(error).strip(" .").partition("\n")[0], 200)
        raise ModelError(f"{file} is truncated or damaged ({reason}): copy or fetch it again.") from error
    # For names or shapes of another model peft and diffusers raise whatever their first wrong step raises.
    except Exception:
        fits = False
    if not fits:
        raise ModelError(
            f"{file} is no LoRA for a {type(pipe).__name__} of these widths: give one made for this model."
        )
    pipe.fuse_lora()
    pipe.unload_lora_weights()


def _file(lora: str) -> Path:
    here = local_path(lora)
    if here is not None and here.is_dir():
        _check_names(lora, [file.name for file in here.iterdir()])
        return find_file(lora, STANDARD_FILE)
    if here is not None:
        if here.suffix != SUFFIX:
            raise ModelError(f"model.lora={lora} is no safetensors file, which alone are read: convert it or give one.")
        return here
    in_repository = IN_REPOSITORY.fullmatch(lora)
    if in_repository is None:
        raise ModelError(
            f'model.lora={lora}: there is no such file or folder; give one, or a hub id such as "owner/name" or '
            '"owner/name/FILE.safetensors".'
        )
    repository, file = in_repository["repository"], in_repository["file"]
    try:
        return find_file(repository, file or STANDARD_FILE)
    except ModelError:
        if file is None:
            _check_names(lora, hub_files(repository))
        raise


def _check_names(lora: str, names: Sequence[str]) -> None:
    """Raises `ModelError` where weights lie under other names alone."""
    others = sorted(name for name in names if name.endswith(SUFFIX))
    if others and STANDARD_FILE not in others:
        raise ModelError(
            f"model.lora={lora} holds no {STANDARD_FILE}, but {', '.join(others[:5])}: give the file itself, such as "
            f"model.lora={lora}/{others[0]}."
        )
