"""Pipelines from a local folder or the hub, with errors a person can act on."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline
from safetensors import SafetensorError

from goldennoise import diffusion
from goldennoise.errors import ModelError
from goldennoise.shapes import locations

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
VARIANT = re.compile(r"[^.]+\.(?P<variant>[^.-]+)(-\d+-of-\d+)?\.safetensors")


def load_pipeline(
    path: str, revision: str | None, dtype: torch.dtype, classes: Sequence[str], variant: str | None = None
) -> Any:
    """A diffusers pipeline of one of `classes`, on the CPU, without a safety checker; weights from safetensors only.

    path: "shapes", a local folder or a hub id; variant: of its weight files, such as "fp16".
    Raises `ModelError` naming what is missing and how to get it.
    """
    source = _source(path)
    try:
        index = DiffusionPipeline.load_config(source, revision=revision)
        # A list for a pipeline with code of its own, which is not run.
        found = str(index["_class_name"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(_missing(path, revision, variant)) from error
    if found not in classes:
        raise ModelError(_other_family(path, found, classes))
    # The stages draw a bar of their own; these would be torn into it.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    # What was saved without a part, such as Stable Diffusion 3 without T5, is loaded so only if told.
    absent: dict[str, Any] = {name: None for name, part in index.items() if part == [None, None]}
    if "safety_checker" in index:
        absent |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        pipe = DiffusionPipeline.from_pretrained(
            source,
            revision=revision,
            variant=variant,
            dtype=dtype,
            use_safetensors=True,
            **absent,
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{_missing(path, revision, variant)} ({reason})") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _source(path: str) -> str:
    """What diffusers is to load: an existing folder, or a hub id."""
    if path == "shapes":
        if not (locations.PIPELINE / "model_index.json").is_file():
            raise ModelError(f"The shapes world has no weights at {locations.PIPELINE}: reinstall goldennoise.")
        return str(locations.PIPELINE)
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise ModelError(
                f"model.path={path} is a folder without model_index.json: give the folder of a diffusers pipeline, as "
                "written by pipe.save_pretrained."
            )
        return str(folder)
    if not HUB_ID.fullmatch(path) or path.startswith("."):
        raise ModelError(
            f'model.path={path}: there is no such folder; give a diffusers folder, a hub id such as "owner/model", or '
            '"shapes".'
        )
    return path


def _variants(folder: Path) -> set[str]:
    """What the weight files of a pipeline's folder are called besides their own names, such as fp16."""
    names = [re.fullmatch(VARIANT, file.name) for file in folder.glob("*/*.safetensors")]
    return {name["variant"] for name in names if name is not None}


def _other_family(path: str, found: str, classes: Sequence[str]) -> str:
    families = diffusion.pipelines()
    mended = (
        f"set model.kind={families[found].Config().kind}"
        if found in families
        else f"supported are {', '.join(sorted(families))}"
    )
    return f"model.path={path} holds a {found}, but this kind of model needs a {' or '.join(classes)}: {mended}."


def _missing(path: str, revision: str | None, variant: str | None) -> str:
    plain = f"; its weights without {variant} in their names are read with model.variant=null" if variant else ""
    folder = Path(path).expanduser()
    if folder.is_dir() and (others := _variants(folder) - {variant}):
        called = " and ".join(sorted(others))
        return f"model.path={path} has weights called {called}: set model.variant={sorted(others)[0]}{plain}"
    pickled = [part.name for part in folder.glob("*/") if [*part.glob("*.bin")] and not [*part.glob("*.safetensors")]]
    if pickled:
        return (
            f"model.path={path} has .bin files in {', '.join(sorted(pickled))}, which may run code and are not read: "
            "load it with diffusers and write it with pipe.save_pretrained(FOLDER)"
        )
    if path == "shapes" or folder.is_dir():
        return (
            f"model.path={path} is not a complete diffusers pipeline with safetensors weights: write or copy it again"
            + plain
        )
    command = f"hf download {path}" + (f" --revision {revision}" if revision else "")
    return (
        f"model.path={path} is neither a folder here nor a model that could be fetched or found in the download cache: "
        f"check the name, then run `{command}` where there is a network; for a gated one accept its licence on the hub "
        f"and run `hf auth login` first{plain}"
    )
