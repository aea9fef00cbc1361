"""Images with captions that a model is trained on. Loads torch for their pixels only."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from goldennoise.data.captioned_images import Folder, as_tensor
from goldennoise.data.images import image_digests, read_image
from goldennoise.data.shapes.training_scenes import CHUNK, HELD_OUT, TRAINING, drawn_captions, rendered_chunk
from goldennoise.errors import DataError
from goldennoise.runtime.progress import Progress
from goldennoise.runtime.seeding import derive_seed
from goldennoise.store.identity import digest_of_lines

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_SHARE = 10
"""At most one image of so many of a folder is held out."""


class TrainingImages(Protocol):
    """Images with a caption each, those to learn from first, then those held out."""

    num_held_out: int

    @property
    def captions(self) -> Sequence[str]: ...

    @property
    def digest(self) -> str:
        """One word for the images and their captions; raises `DataError` for an image that cannot be read."""

    def image(self, number: int) -> "Tensor":
        """(3, height, width), float32 in [0, 1], of the caption `number`."""
        ...


class RenderedImages:
    """Scenes of the shapes world: the same whatever the seed of the run, held-out ones from a stream of their own."""

    def __init__(self, num_images: int, num_held_out: int) -> None:
        self.num_images, self.num_held_out = num_images, num_held_out
        self.captions = drawn_captions(TRAINING, num_images) + drawn_captions(HELD_OUT, num_held_out)

    def image(self, number: int) -> "Tensor":
        stream, place = (TRAINING, number) if number < self.num_images else (HELD_OUT, number - self.num_images)
        return as_tensor(_pixels(stream, place // CHUNK * CHUNK)[place % CHUNK]).float() / 255

    @property
    def digest(self) -> str:
        return f"renders {self.num_images}"


class FolderImages:
    """A folder with metadata.csv, as `captioned_images.Folder` reads it; which images are held out, a hash decides.

    num_held_out: at most a tenth of the images is, and at least one. Raises `DataError` for fewer than two images.
    """

    def __init__(self, folder: str, num_held_out: int) -> None:
        read = Folder(folder)
        if len(read.rows) < 2:
            raise DataError(
                f"{read.folder} has {len(read.rows)} image, and 2 are needed: one to learn from, one to validate on"
            )
        self.folder = read.folder
        self.num_held_out = min(num_held_out, max(1, len(read.rows) // LARGEST_SHARE))
        ordered = sorted(range(len(read.rows)), key=lambda row: derive_seed(0, "held-out image", read.rows[row][0]))
        held_out = sorted(ordered[: self.num_held_out])
        rows = [read.rows[row] for row in (*sorted(ordered[self.num_held_out :]), *held_out)]
        self.files, self.captions = [file for file, _ in rows], [text for _, text in rows]
        read.refuse_missing()

    def image(self, number: int) -> "Tensor":
        return as_tensor(read_image(self.folder / self.files[number], upright=True))

    @cached_property
    def digest(self) -> str:
        with Progress("check", len(self.files), "images") as progress:
            digests = image_digests(self.folder, self.files, progress.update)
        return digest_of_lines(f"{text}\t{digest}" for text, digest in zip(self.captions, digests, strict=True))


@lru_cache(maxsize=2)
def _pixels(stream: int, start: int) -> np.ndarray:
    return rendered_chunk(stream, start)[0]
