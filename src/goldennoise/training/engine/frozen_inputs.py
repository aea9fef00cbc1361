"""What does not change while a network learns: prompt embeddings, and what it computes of the noise beforehand."""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor

from goldennoise.data.pairs.reader import PairReader
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import ArtifactError
from goldennoise.networks import network_config
from goldennoise.networks.base import Architecture
from goldennoise.networks.network import GoldenNetwork, blank_network
from goldennoise.runtime.resources import shown_size
from goldennoise.store.files import remove, write_json
from goldennoise.store.record import read_json

CONTENTS = "contents.json"
EMBEDS, FROZEN = "prompt_embeds", "frozen_"
PAIRS_AT_ONCE = 64

log = logging.getLogger(__name__)


class Embeddings(Protocol):
    """Of the different prompts, (prompts, tokens, dim): a memory-mapped array, or one that is computed when asked."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray: ...


class Inputs(Protocol):
    """What a network is given beside the noise, for each of the chosen pairs.

    prompt_of: (N,) the prompt of each pair.
    """

    @property
    def prompt_embeds(self) -> Embeddings: ...

    @property
    def prompt_of(self) -> np.ndarray: ...

    def prompts(self, rows: np.ndarray) -> Tensor:
        """(B, tokens, dim), fp32: each pair's own prompt."""

    def frozen_of(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """The network's `frozen_inputs` of each pair's source noise, fp32."""


@dataclass(frozen=True)
class FrozenInputs:
    """`Inputs` on the disk. Memory-mapped arrays, one row per chosen pair, so that memory does not grow with the data.

    prompt_embeds: (prompts, tokens, dim); prompt_of: (N,) the prompt of each pair.
    frozen: the network's `frozen_inputs` of the source noises, each (N, ...).
    """

    prompt_embeds: np.ndarray
    prompt_of: np.ndarray
    frozen: tuple[np.ndarray, ...]

    def prompts(self, rows: np.ndarray) -> Tensor:
        """(B, tokens, dim), fp32: each pair's own prompt."""
        return torch.from_numpy(self.prompt_embeds[self.prompt_of[rows]]).float()

    def frozen_of(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """The frozen inputs of each pair's source noise, fp32."""
        return tuple(torch.from_numpy(part[rows]) for part in self.frozen)


class EncodedPrompts:
    """`Embeddings` that the model makes of those prompts that are asked for."""

    def __init__(self, model: DiffusionModel, prompts: list[str], at_once: int) -> None:
        self._model, self._prompts, self._at_once = model, prompts, at_once
        self.shape = (len(prompts), *self[np.zeros(1, dtype=np.int64)].shape[1:])

    @torch.no_grad()
    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        different, places = np.unique(numbers, return_inverse=True)
        texts = [self._prompts[number] for number in different]
        parts = [self._model.encode(texts[start:stop]).cond for start, stop in _chunks(len(texts), self._at_once)]
        return np.asarray(torch.cat(parts).float().cpu().numpy()[places])


class ComputedInputs:
    """`Inputs` that are computed when they are asked for, on the model's device. Nothing is written."""

    def __init__(
        self,
        reader: PairReader,
        rows: np.ndarray,
        model: DiffusionModel,
        architecture: Architecture,
        prompts_at_once: int = 32,
    ) -> None:
        prompts, self.prompt_of = _prompts(reader, rows)
        self.prompt_embeds = EncodedPrompts(model, prompts, prompts_at_once)
        self._reader, self._rows, self._device = reader, rows, model.device
        num_tokens, text_dim = self.prompt_embeds.shape[1:]
        self._network = blank_network(network_config(architecture, reader.latent_shape, num_tokens, text_dim))

    def prompts(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.prompt_embeds[self.prompt_of[rows]])

    @torch.no_grad()
    def frozen_of(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        source, _ = self._reader.noise(self._rows[rows])
        frozen = self._network.frozen_inputs(source.to(self._device, torch.float32))
        return tuple(part.cpu() for part in frozen)


def write_frozen_inputs(
    folder: Path,
    reader: PairReader,
    rows: np.ndarray,
    model: DiffusionModel,
    architecture: Architecture,
    prompts_at_once: int = 32,
) -> None:
    """Compute them for the pairs at `rows` of the reader's index, unless `folder` holds exactly these already.

    Those of the noise are computed on the model's device. A folder that is unfinished or damaged is made again. Raises
    `ArtifactError` before anything is written to a disk with too little space.
    """
    contents = _contents(reader, rows, model, architecture)
    if _told(folder) == contents | {"bytes": _sizes(folder)}:
        return
    folder.mkdir(parents=True, exist_ok=True)
    remove(folder / CONTENTS)
    for file in folder.glob("*.npy"):
        remove(file)
    prompts, _ = _prompts(reader, rows)
    first = model.encode(prompts[:1]).cond
    config = network_config(architecture, reader.latent_shape, first.shape[1], first.shape[2])
    of_prompts = len(prompts) * math.prod(first.shape[1:]) * _stored_type(first).itemsize
    _require_space(folder, of_prompts + len(rows) * 4 * config.num_frozen)
    _write_prompt_embeds(folder, prompts, first, model, prompts_at_once)
    _write_frozen(folder, reader, rows, blank_network(config), model.device)
    write_json(folder / CONTENTS, contents | {"bytes": _sizes(folder)})


def _told(folder: Path) -> dict[str, object] | None:
    """What the folder says it holds, None where it says nothing that can be read."""
    try:
        return read_json(folder / CONTENTS)
    except ArtifactError:
        return None


def _sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in sorted(folder.glob("*.npy")) if file.is_file()}


def open_frozen_inputs(folder: Path, reader: PairReader, rows: np.ndarray) -> FrozenInputs:
    """What `write_frozen_inputs` wrote for the same reader and rows."""
    files = [folder / f"{EMBEDS}.npy", *sorted(folder.glob(f"{FROZEN}*.npy"))]
    embeds, *frozen = (np.load(file, mmap_mode="r", allow_pickle=False) for file in files)
    return FrozenInputs(embeds, _prompts(reader, rows)[1], tuple(frozen))


def _contents(
    reader: PairReader, rows: np.ndarray, model: DiffusionModel, architecture: Architecture
) -> dict[str, object]:
    return {
        "rows": hashlib.sha256(np.ascontiguousarray(rows, dtype=np.int64).tobytes()).hexdigest(),
        "prompts": hashlib.sha256(json.dumps(_prompts(reader, rows)[0]).encode()).hexdigest(),
        "model": model.name,
        "architecture": repr(architecture),
    }


def _prompts(reader: PairReader, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The different prompts in order of appearance, and which of them each row has."""
    chosen = reader.index.iloc[rows]
    prompt_of, ids = chosen["prompt_id"].factorize()
    texts = chosen.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"]
    return texts.loc[list(ids)].tolist(), prompt_of


def _stored_type(embeds: Tensor) -> np.dtype:
    """Half-precision embeddings stay so, which is exact and takes half the disk."""
    return np.dtype(np.float16 if embeds.dtype == torch.float16 else np.float32)


def _require_space(folder: Path, num_bytes: int) -> None:
    """Say what will be written; raise `ArtifactError` where the disk has less."""
    free, needed = shutil.disk_usage(folder).free, shown_size(num_bytes)
    if free < num_bytes:
        raise ArtifactError(
            f"{folder}: embeddings of prompts and factors of noises need {needed}, and its disk has "
            f"{shown_size(free)} free: make room, choose another disk with outputs=DIR, or set "
            "stage.frozen_inputs=compute, which writes none"
        )
    log.info(
        "embeddings of prompts and factors of noises take %s in %s while the network trains; "
        "stage.frozen_inputs=compute writes none",
        needed,
        folder,
    )


def _write_prompt_embeds(folder: Path, prompts: list[str], first: Tensor, model: DiffusionModel, at_once: int) -> None:
    """first: embedding of the first prompt, which tells shape and type."""
    dtype = _stored_type(first)
    with _new_array(folder / f"{EMBEDS}.npy", (len(prompts), *first.shape[1:]), dtype) as file:
        for start, stop in _chunks(len(prompts), at_once):
            embeds = model.encode(prompts[start:stop]).cond
            file.write(embeds.float().cpu().numpy().astype(dtype).tobytes())


def _write_frozen(
    folder: Path, reader: PairReader, rows: np.ndarray, network: GoldenNetwork, device: torch.device
) -> None:
    with ExitStack() as opened:
        files: list[BinaryIO] = []
        for start, stop in _chunks(len(rows), PAIRS_AT_ONCE):
            source, _ = reader.noise(rows[start:stop])
            frozen = network.frozen_inputs(source.to(device, torch.float32))
            for number in range(len(files), len(frozen)):
                shape = (len(rows), *frozen[number].shape[1:])
                array = _new_array(folder / f"{FROZEN}{number}.npy", shape, np.dtype(np.float32))
                files.append(opened.enter_context(array))
            for file, part in zip(files, frozen, strict=True):
                file.write(part.cpu().numpy().tobytes())


def _new_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> BinaryIO:
    """An .npy file to which the rows are then written one after the other.

    Not a writable memory map: on a full disk that would kill the process instead of raising an OSError.
    """
    file = path.open("wb")
    description = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": description, "fortran_order": False, "shape": shape})
    return file


def _chunks(length: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, size):
        yield start, min(start + size, length)
