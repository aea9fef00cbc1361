"""Images with captions: what a layout is taken from. Loads torch for their pixels only: their digest needs none."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from goldennoise.data.images import read_image
from goldennoise.data.prompts.defects import refuse, shown
from goldennoise.data.prompts.readers import read_rows
from goldennoise.data.shapes.captions import benchmark, caption_of, without_tone
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import sample_scene
from goldennoise.errors import DataError, shortened
from goldennoise.runtime.seeding import derive_seed, prompt_id
from goldennoise.store.files import file_digest
from goldennoise.store.identity import digest_of_lines
from goldennoise.store.paths import given_path

if TYPE_CHECKING:
    from torch import Tensor

TABLE, FILE, TEXT = "metadata.csv", "file_name", "text"
"""As folders of captioned images are laid out on the Hugging Face hub."""


class CaptionedImages(Protocol):
    """Images by prompt and seed."""

    def image(self, prompt: str, seed: int, root_seed: int) -> "Tensor":
        """(3, height, width), float32 in [0, 1]. Raises `DataError` for a prompt that no image has."""
        ...

    def some(self, num: int) -> "Iterator[Tensor]":
        """At most `num` images, the same every time, each (3, height, width), float32 in [0, 1]."""
        ...


class Renders:
    """Scenes drawn at random among those a caption of the shapes world is true of.

    "dark" or "bright" before a caption asks for the background, which captions leave open: "dark a red circle".
    """

    def image(self, prompt: str, seed: int, root_seed: int) -> "Tensor":
        text, tone = without_tone(prompt)
        caption = caption_of(text)
        if caption is None:
            raise DataError(f'"{prompt}" is no caption of the shapes world, which alone can be rendered')
        rng = np.random.default_rng(derive_seed(root_seed, "layout", prompt_id(prompt), seed))
        pixels = render(sample_scene(caption, rng, tone))
        return as_tensor(pixels).float() / 255

    def some(self, num: int) -> "Iterator[Tensor]":
        """One of each of `num` training captions, spread over the kinds."""
        return (self.image(caption.text, 0, 0) for caption in benchmark(num, "train"))


class Folder:
    """Of a prompt with n images, seed i takes image i modulo n, in the order of the table; turned as EXIF says.

    A text belongs to the prompt with the same id, whatever its case and spaces.

    Raises `DataError` for a table that is missing or has other columns.
    """

    def __init__(self, folder: str) -> None:
        self.folder = given_path(folder)
        table = read_rows(self.folder / TABLE)
        refuse(self.folder / TABLE, table.defects)
        if not {FILE, TEXT} <= set(table.columns):
            raise DataError(
                f"{self.folder / TABLE} needs the columns {FILE} and {TEXT}; the columns are {shown(table.columns)}"
            )
        self.rows = [(str(row[FILE]), str(row[TEXT])) for _, row in table.rows]
        self.files: dict[str, list[str]] = {}
        for file, text in self.rows:
            self.files.setdefault(prompt_id(text), []).append(file)

    def digest(self) -> str:
        """SHA-256 over the captions and the content of their images; `DataError` for an image that is missing."""
        lines = [f"{text}\t{self._digest(file)}" for text, files in self.files.items() for file in files]
        return digest_of_lines(lines)

    def refuse_missing(self) -> None:
        """Raise `DataError` for the first image that is missing."""
        for file, _ in self.rows:
            if not (self.folder / file).is_file():
                raise self._unusable(file, "is missing")

    def _digest(self, file: str) -> str:
        what = "is missing"
        try:
            if (self.folder / file).is_file():
                return file_digest(self.folder / file)
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
        raise self._unusable(file, what)

    def _unusable(self, file: str, what: str) -> DataError:
        return DataError(f"{self.folder / shortened(file)} {what}, and {TABLE} names it")

    def image(self, prompt: str, seed: int, root_seed: int) -> "Tensor":  # noqa: ARG002
        files = self.files.get(prompt_id(prompt))
        if files is None:
            raise DataError(f'{self.folder / TABLE} has no image of "{prompt}": collect with its own texts as prompts')
        return self._read(files[seed % len(files)])

    def some(self, num: int) -> "Iterator[Tensor]":
        """The first in the order of the prompts of the table."""
        files = [file for files in self.files.values() for file in files]
        return (self._read(file) for file in files[:num])

    def _read(self, file: str) -> "Tensor":
        return as_tensor(read_image(self.folder / file, upright=True))


def images_called(name: str) -> CaptionedImages:
    """ "renders", or a folder. Raises `DataError` for a folder that cannot be read."""
    return Renders() if name == "renders" else Folder(name)


def as_tensor(pixels: np.ndarray) -> "Tensor":
    """(3, height, width) of pixels (height, width, 3)."""
    import torch

    return torch.from_numpy(pixels).permute(2, 0, 1)
