"""Which frozen model an artifact was made with: an artifact of one model must not be taken for one of another."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from goldennoise.data.shapes.locations import PIPELINES
from goldennoise.diffusion.lora import STANDARD_FILE
from goldennoise.errors import ModelError
from goldennoise.store.files import file_digest
from goldennoise.store.hub import local_path
from goldennoise.store.paths import given_path
from goldennoise.store.record import RECORD, read_artifact

SCHEDULE = Path("scheduler", "scheduler_config.json")
SAME_MODEL = ("kind", "path", "revision", "lora", "weights")
"""What names a model's weights; steps and guidance may differ between training and evaluation."""


def model_identity(config: Any) -> dict[str, Any]:
    """A model config, and digests of the weights and the schedule where they can change under the same name.

    Those of the hub and of the package cannot. First 12 hex digits of a SHA-256: over the files that are loaded of
    `path` and of `lora`, and over the scheduler's configuration in a folder of `path`. What lies on this machine
    goes by the last part of its path, or by its reference: another machine may keep it elsewhere.
    """
    identity = asdict(config)
    if (tone := identity.pop("tone", None)) is not None:
        identity["tone"] = tone if tone == "shapes" else tones_digest(tone)
    path: Any = identity.get("path")
    lora = identity.get("lora")
    files: list[Path] = []
    is_packaged = path in PIPELINES
    if (folder := _local(PIPELINES[path] if is_packaged else path)) is not None:
        files += weights_of(folder, identity.get("variant"))
        identity["path"] = path if is_packaged else named(folder)
        if not is_packaged and (schedule := folder / SCHEDULE).is_file():
            identity["schedule"] = file_digest(schedule)[:12]
    if (source := _local(lora)) is not None:
        files += [source / STANDARD_FILE] if source.is_dir() else [source]
        identity["lora"] = named(source)
    present = [file for file in files if file.is_file()]
    return identity | {"weights": _digest(tuple(map(_state, present))) if present else None}


def tones_digest(name: str) -> str:
    """SHA-256 of a file of tones, as a user writes its path. Raises `ModelError` where there is none."""
    path = given_path(name)
    if not path.is_file():
        raise ModelError(f"{path} is no file: give a .safetensors file of tones, which Tones.save writes.")
    return file_digest(path)


def differences(recorded: Mapping[str, Any], config: Any) -> list[str]:
    """For each part that names the weights and differs: "model.path=b, not a"."""
    used = model_identity(config)
    return [
        f"model.{part}={used.get(part)}, not {recorded.get(part)}"
        for part in SAME_MODEL
        if used.get(part) != recorded.get(part)
    ]


def named(path: Path) -> str:
    """How a file or folder of this machine is called elsewhere: "model/NAME@vN" if it is an artifact, else its name."""
    return read_artifact(path).reference if (path / RECORD).is_file() else path.resolve().name


def shown_name(config: Any) -> str:
    """As reports call the model of a config: artifacts by their references."""
    given = {part: _local(getattr(config, part, None)) for part in ("path", "lora")}
    meant = {part: named(path) for part, path in given.items() if path is not None and (path / RECORD).is_file()}
    return str(replace(config, **meant).name)


def _local(source: str | Path | None) -> Path | None:
    """A file or folder of this machine, None for what is on the hub."""
    return None if source is None else local_path(source)


def weights_of(folder: Path, variant: str | None) -> list[Path]:
    """Weight files of a pipeline's parts; of a part that has them in several variants those of `variant`."""
    chosen: list[Path] = []
    for part in sorted(folder.glob("*/")):
        files = sorted(part.glob("*.safetensors"))
        marked = [file for file in files if variant is not None and f".{variant}" in file.name]
        plain = [file for file in files if file.name.count(".") == 1]
        chosen += marked or plain or files
    return chosen


def _state(file: Path) -> tuple[Path, int, int]:
    """A file and what changes when it is written again."""
    state = file.stat()
    return file, state.st_size, state.st_mtime_ns


@cache
def _digest(states: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, *_ in states:
        with path.open("rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
    return digest.hexdigest()[:12]
