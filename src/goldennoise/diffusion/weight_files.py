"""Which weight files a pipeline holds: what to set where those that were chosen are missing and others are there."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from huggingface_hub import snapshot_download

from goldennoise.store.hub import hub_files, local_path

PLAIN = "null"
"""As the option `model.variant` spells no variant."""
NAMED = re.compile(r"(?P<part>[^/]+)/[^/.]+(\.(?P<variant>[^/.-]+))?(-\d+-of-\d+)?\.safetensors")
"""Sharded files have their numbers before or after the variant."""


def advice(path: str, revision: str | None, variant: str | None, parts: Iterable[str]) -> str | None:
    """What to do where the weights of `parts` are there in other variants alone, or as pickles; None elsewhere."""
    names = [name for name in _names(path, revision) if name.partition("/")[0] in set(parts)]
    held: dict[str, set[str]] = {}
    for name in filter(None, map(NAMED.fullmatch, names)):
        held.setdefault(name["part"], set()).add(name["variant"] or PLAIN)
    chosen, known = variant or PLAIN, set().union(*held.values())
    others = sorted(other for other in known - {chosen} if _complete(other, held))
    if others and not _complete(chosen, held):
        settings = " or ".join(f"model.variant={other}" for other in others)
        return f"model.path={path} holds no complete weights for model.variant={chosen}: set {settings}."
    pickled = sorted({name.partition("/")[0] for name in names if name.endswith(".bin")} - held.keys())
    if pickled:
        return (
            f"model.path={path} has .bin files in {', '.join(pickled)}, which may run code and are not read: load it "
            "with diffusers and write it with pipe.save_pretrained(FOLDER)."
        )
    return None


def _complete(variant: str, held: dict[str, set[str]]) -> bool:
    """Whether all parts can be read so; diffusers reads parts that have no such variant by their plain names."""
    return all({variant, PLAIN} & variants for variants in held.values()) and any(
        variant in variants for variants in held.values()
    )


def _names(path: str, revision: str | None) -> Sequence[str]:
    """Files of all parts as "part/file", of a local folder, of the hub or of its cache here."""
    folder = local_path(path)
    if folder is None and (listed := hub_files(path, revision)):
        return listed
    folder = folder or cached(path, revision)
    return [] if folder is None else [f"{file.parent.name}/{file.name}" for file in sorted(folder.glob("*/*"))]


def cached(repository: str, revision: str | None) -> Path | None:
    """What the hub's own cache holds of a repository; None for nothing."""
    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError):
        return None
