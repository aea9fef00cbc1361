"""Features of existing images, in parts: a part is one file, written whole or not at all."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldennoise.data.images import read_image
from goldennoise.errors import ConfigError
from goldennoise.generation.loader import Loader
from goldennoise.runtime.progress import Progress
from goldennoise.runtime.units import Work
from goldennoise.scorers.protocol import Embedder
from goldennoise.store.files import whole

INCEPTION = "inception"
Embed = Callable[[Tensor], Tensor]
"""Features (B, dim) on the CPU of images (B, 3, height, width) in [0, 1]."""


@dataclass(frozen=True)
class FeaturePart:
    """The unit of work. chosen: of which of the two sets. files: of its images."""

    number: int
    chosen: str
    files: Sequence[Path]

    @property
    def size(self) -> int:
        """Number of its images."""
        return len(self.files)

    def file(self, draft: Path) -> Path:
        return draft / "parts" / f"{self.chosen}-{self.number:05d}.npy"

    def is_finished(self, folder: Path) -> bool:
        """Whether its file is there, whole, with a row per image."""
        try:
            found = np.load(self.file(folder), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return False
        return found.ndim == 2 and len(found) == self.size and bool(np.isfinite(found).all())


def cut(chosen: str, files: Sequence[Path], images_per_part: int) -> list[FeaturePart]:
    """Parts of the images in their order."""
    starts = range(0, len(files), images_per_part)
    return [FeaturePart(number, chosen, files[start : start + images_per_part]) for number, start in enumerate(starts)]


@dataclass(frozen=True)
class FeatureMaker:
    """A description of the work on the parts of a draft. features: inception, or the name of a scorer of the run."""

    loader: Loader
    features: str
    inception_path: str | None
    draft: Path

    def __call__(self) -> Work[FeaturePart]:
        """Loads what gives features. Raises `GoldenNoiseError` for what cannot be loaded."""
        embed, batch_size = self.embed(), self.loader.config.compute.batch_size

        @torch.no_grad()
        def make(part: FeaturePart, progress: Progress) -> None:
            rows: list[NDArray[np.float32]] = []
            for start in range(0, part.size, batch_size):
                images = [read_image(file) for file in part.files[start : start + batch_size]]
                for _, group in itertools.groupby(images, key=lambda image: image.shape):
                    batch = torch.from_numpy(np.stack(list(group))).permute(0, 3, 1, 2).contiguous()
                    rows.append(embed(batch).float().cpu().numpy())
                progress.update(len(images))
            with whole(part.file(self.draft)) as beside, beside.open("wb") as file:
                np.save(file, np.concatenate(rows))

        return make

    def embed(self) -> Embed:
        """Raises `ConfigError` for a scorer without features, and what loading raises."""
        if self.features == INCEPTION:
            from goldennoise.generation.inception import inception

            return inception(self.inception_path, self.loader.config.compute.torch_device())
        scorer = self.loader.scorer(self.features)
        if not isinstance(scorer, Embedder):
            raise ConfigError(
                f"stage.features={self.features}: this scorer gives no features of images; choose inception or one "
                "that does, such as clipscore, pickscore or shapes_clip"
            )
        return scorer.embed


def read_features(draft: Path, parts: Sequence[FeaturePart]) -> NDArray[np.float64]:
    """All parts of a set, a row per image in their order."""
    return np.concatenate([np.load(part.file(draft), allow_pickle=False) for part in parts]).astype(np.float64)
