"""Latents of the training images, encoded once, in parts that are written whole or not at all.

All trainings on the same images and model share a folder of them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from goldennoise.data.training_images import TrainingImages
from goldennoise.runtime.progress import Progress
from goldennoise.runtime.units import Work
from goldennoise.store.files import whole

LATENTS, DIGEST = "latents", "sha256"


@dataclass(frozen=True)
class LatentPart:
    """The unit of work: images from `start` to before `stop`."""

    number: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def file(self, folder: Path) -> Path:
        return folder / f"{self.start}-{self.stop}.safetensors"

    def is_finished(self, folder: Path) -> bool:
        """Whether its latents are there, all of them and as they were written."""
        try:
            with safe_open(self.file(folder), framework="pt") as file:
                latents, digest = file.get_tensor(LATENTS), (file.metadata() or {}).get(DIGEST)
        except (OSError, SafetensorError):
            return False
        return len(latents) == self.size and _digest(latents) == digest


def cut(num_images: int, images_per_part: int) -> list[LatentPart]:
    """Parts of the images in their order."""
    starts = range(0, num_images, images_per_part)
    return [LatentPart(number, start, min(start + images_per_part, num_images)) for number, start in enumerate(starts)]


@dataclass(frozen=True)
class LatentEncoding:
    """A description of the work on the parts in `folder`: the images of a run through the VAE of its model."""

    loader: Any
    """Has the `model`."""
    images: TrainingImages
    folder: Path
    images_at_once: int

    def __call__(self) -> Work[LatentPart]:
        model = self.loader.model

        def make(part: LatentPart, progress: Progress) -> None:
            done = []
            for start in range(part.start, part.stop, self.images_at_once):
                numbers = range(start, min(start + self.images_at_once, part.stop))
                with torch.no_grad():
                    done.append(model.encode_images([self.images.image(number) for number in numbers]).cpu())
                progress.update(len(numbers))
            latents = torch.cat(done).contiguous()
            with whole(part.file(self.folder)) as beside:
                beside.write_bytes(save({LATENTS: latents}, {DIGEST: _digest(latents)}))

        return make


class Latents:
    """The latents of all parts, read from the disk as they are needed."""

    def __init__(self, folder: Path, parts: Sequence[LatentPart]) -> None:
        self.starts = torch.tensor([part.start for part in parts])
        self.parts = [load_file(part.file(folder))[LATENTS] for part in parts]

    def __len__(self) -> int:
        return int(self.starts[-1]) + len(self.parts[-1])

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(B, C, h, w) of the images `rows` (B,)."""
        places = torch.bucketize(rows.contiguous(), self.starts, right=True) - 1
        found = zip(places.tolist(), (rows - self.starts[places]).tolist(), strict=True)
        return torch.stack([self.parts[part][row] for part, row in found])


def _digest(latents: Tensor) -> str:
    return hashlib.sha256(latents.numpy().tobytes()).hexdigest()
