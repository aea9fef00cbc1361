"""Scores of images that are there already, in parts: a part is one table, written whole or not at all."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from goldennoise.data.images import read_image
from goldennoise.generation.units import has_numbers, table_of, whole
from goldennoise.scorers.batch import score_batch
from goldennoise.scorers.protocol import Scorer

COLUMNS = ("image", "prompt")
"""Columns beside those of the scorers."""

FORMULA = r"^(?=[=+\-@\t\r])"
"""Where a text begins that a spreadsheet would compute."""


@dataclass(frozen=True)
class ImagePart:
    """The unit of work. images: paths relative to their folder; prompts: one for each."""

    number: int
    images: Sequence[str]
    prompts: Sequence[str]

    def table_file(self, draft: Path) -> Path:
        return draft / "parts" / f"{self.number:05d}.parquet"

    def is_finished(self, draft: Path, scorers: Sequence[str]) -> bool:
        """Whether its table is there, whole, and about these images and scorers."""
        return scores_of(self.table_file(draft), self.images, self.prompts, scorers) is not None


def scores_of(file: Path, images: Sequence[str], prompts: Sequence[str], scorers: Sequence[str]) -> pd.DataFrame | None:
    """The table of a file, None where it is missing, damaged or not of these images, prompts and scorers."""
    table = table_of(file)
    if table is None or {*table.columns} != {*COLUMNS, *scorers}:  # the order of scorers decides nothing
        return None
    found = [table[column].map(str).tolist() for column in COLUMNS]  # `astype` fails for bytes
    return table if found == [list(images), list(prompts)] and has_numbers(table, scorers) else None


def cut(images: Sequence[str], prompts: Sequence[str], images_per_part: int) -> list[ImagePart]:
    """Parts of the images in their order. prompts: one for each image."""
    starts = range(0, len(images), images_per_part)
    return [
        ImagePart(number, images[start : start + images_per_part], prompts[start : start + images_per_part])
        for number, start in enumerate(starts)
    ]


def score_part(
    draft: Path,
    part: ImagePart,
    folder: Path,
    scorers: Mapping[str, Scorer],
    batch_size: int,
    progress: Callable[[int], object],
) -> None:
    """Write the part's table. `progress` is told how many images each batch has added.

    Raises `DataError` for an image that cannot be read, `ScorerError` for a missing or non-finite score.
    """
    tables = []
    for start in range(0, len(part.images), batch_size):
        names = part.images[start : start + batch_size]
        prompts = part.prompts[start : start + batch_size]
        tables.append(_score(folder, names, prompts, scorers))
        progress(len(names))
    with whole(part.table_file(draft)) as beside:
        pd.concat(tables).to_parquet(beside, index=False, write_page_checksum=True)


def _score(folder: Path, names: Sequence[str], prompts: Sequence[str], scorers: Mapping[str, Scorer]) -> pd.DataFrame:
    """A row per image. Neighbours of one size are scored together."""
    images = [read_image(folder / name) for name in names]
    tables = []
    first = 0
    for _, group in itertools.groupby(images, key=lambda image: image.shape):
        batch = torch.from_numpy(np.stack(list(group))).permute(0, 3, 1, 2).contiguous()
        same = slice(first, first + len(batch))
        scores = score_batch(scorers, batch, prompts[same], names[same])
        tables.append(pd.DataFrame({"image": names[same], "prompt": prompts[same], **scores}))
        first += len(batch)
    return pd.concat(tables)


def read_parts(draft: Path, parts: Sequence[ImagePart]) -> pd.DataFrame:
    """All parts as one table, in the order of the images."""
    return pd.concat([pd.read_parquet(part.table_file(draft)) for part in parts])


def for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that a spreadsheet would take for a formula."""
    return table.assign(**{column: table[column].str.replace(FORMULA, "'", regex=True) for column in COLUMNS})
