"""Pipelines from a local folder or the hub, with errors a person can act on."""

from collections.abc import Sequence
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline
from torch import nn
from transformers import PreTrainedTokenizerBase

from goldennoise.data.shapes.locations import PIPELINES
from goldennoise.diffusion import families, weight_files
from goldennoise.diffusion.lora import STANDARD_FILE
from goldennoise.errors import ModelError, shortened
from goldennoise.store.hub import HUB_ID, local_path
from goldennoise.store.record import RECORD, read_artifact


def load_pipeline(
    path: str, revision: str | None, dtype: torch.dtype, classes: Sequence[str], variant: str | None = None
) -> Any:
    """A diffusers pipeline of one of `classes`, on the CPU, without a safety checker; weights from safetensors only.

    path: a packaged model such as "shapes", a local folder or a hub id; variant: of its weight files, such as "fp16".
    Raises `ModelError` naming what is missing and how to get it, `ArtifactError` for a damaged artifact.
    """
    source = _source(path)
    try:
        index = DiffusionPipeline.load_config(source, revision=revision)
        # A list for a pipeline with code of its own, which is not run.
        found = str(index["_class_name"])
    # For files that are missing, damaged or of another kind the libraries raise whatever their first wrong step raises.
    except Exception as error:
        raise ModelError(_unreadable(path, revision, error)) from error
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
    except Exception as error:
        parts = [name for name, part in index.items() if isinstance(part, list) and name not in absent]
        advice = None if path in PIPELINES else weight_files.advice(path, revision, variant, parts)
        raise ModelError(advice or _unreadable(path, revision, error, has_index=True)) from error
    _check_whole(path, pipe)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _check_whole(path: str, pipe: Any) -> None:
    """Raises `ModelError` for what the libraries make up where files lack it."""
    for name, part in pipe.components.items():
        lost = None
        if isinstance(part, nn.Module):
            lost = next((f"weights {key}" for key, tensor in part.state_dict().items() if tensor.is_meta), None)
        elif isinstance(part, PreTrainedTokenizerBase) and part("red").input_ids == part("dog").input_ids:
            lost = "words"  # without its files a tokenizer takes every word for unknown
        if lost is not None:
            raise ModelError(f"model.path={path} is damaged, its {name} has no {lost}: write or copy it again.")


def _source(path: str) -> str:
    """What diffusers is to load: an existing folder, or a hub id."""
    if path in PIPELINES:
        folder = PIPELINES[path]
        if not (folder / "model_index.json").is_file():
            raise ModelError(f"The shapes world has no weights at {folder}: reinstall goldennoise.")
        return str(folder)
    here = local_path(path)
    if here is not None and not here.is_dir():
        raise ModelError(
            f"model.path={path} is a file: read a checkpoint in one file with from_single_file of its diffusers "
            "pipeline, write it with pipe.save_pretrained(FOLDER), and give the folder."
        )
    if here is not None and (here / RECORD).is_file():
        read_artifact(here).check()
    if here is not None and (here / "model_index.json").is_file():
        return str(here)
    if here is not None and (here / STANDARD_FILE).is_file():
        raise ModelError(
            f"model.path={path} is the folder of a LoRA: give it as model.lora, and as model.path the model it is for."
        )
    if here is not None:
        raise ModelError(
            f"model.path={path} is a folder without model_index.json: give the folder of a diffusers pipeline, as "
            "written by pipe.save_pretrained."
        )
    if not HUB_ID.fullmatch(path):
        raise ModelError(
            f'model.path={path}: there is no such folder; give a diffusers folder, a hub id such as "owner/model", or '
            f"{' or '.join(PIPELINES)}."
        )
    return path


def _other_family(path: str, found: str, classes: Sequence[str]) -> str:
    known = families.pipelines()
    mended = (
        f"set model.kind={known[found].Config().kind}"
        if found in known
        else f"supported are {', '.join(sorted(known))}"
    )
    return f"model.path={path} holds a {found}, but this kind of model needs a {' or '.join(classes)}: {mended}."


def _unreadable(path: str, revision: str | None, error: Exception, has_index: bool = False) -> str:
    """has_index: whether model_index.json at least could be read."""
    # What follows the first sentence is advice on the libraries' own arguments, which nobody here can give them.
    first = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
    mismatch = "ignore_mismatched_sizes" in first
    reason = "a config.json of another network than its weights" if mismatch else shortened(first, 200)
    if "allocate memory" in str(error):
        return f"model.path={path} does not fit into this machine's memory ({reason}): take a smaller dtype or model."
    if path in PIPELINES or local_path(path) is not None:
        told = "" if "couldn't connect" in reason else f" ({reason})"
        return (
            f"model.path={path} is not a complete diffusers pipeline with safetensors weights{told}: write or copy it "
            "again."
        )
    command = f"hf download {path}" + (f" --revision {revision}" if revision else "")
    if has_index:
        return (
            f"model.path={path} could not be fetched whole, or read ({reason}): run `{command}` where there is a "
            "network."
        )
    return (
        f"model.path={path} is neither a folder here nor a model that could be fetched or found in the download cache: "
        f"check the name, then run `{command}` where there is a network; for a gated one accept its licence on the hub "
        "and run `hf auth login` first."
    )
