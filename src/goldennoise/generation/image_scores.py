"""Scores of images that are there already, in parts: a part is one table, written whole or not at all."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from goldennoise.data.images import read_image
from goldennoise.data.prompts import Prompt
from goldennoise.generation.loader import Loader
from goldennoise.generation.units import has_numbers, table_of
from goldennoise.runtime.progress import Progress
from goldennoise.runtime.units import Work
from goldennoise.scorers.batch import Canary, score_batch
from goldennoise.scorers.protocol import Scorer
from goldennoise.store.files import whole

log = logging.getLogger(__name__)

COLUMNS = ("image", "prompt")
"""Columns beside those of the scorers."""

FORMULA = r"^(?=[=+\-@\t\r])"
"""Where a text begins that a spreadsheet would compute."""


@dataclass(frozen=True)
class ImagePart:
    """The unit of work. images: paths relative to their folder; prompts: one for each; scorers: by whom."""

    number: int
    images: Sequence[str]
    prompts: Sequence[Prompt]
    scorers: Sequence[str]

    @property
    def size(self) -> int:
        """Number of its images."""
        return len(self.images)

    def table_file(self, draft: Path) -> Path:
        return draft / "parts" / f"{self.number:05d}.parquet"

    def is_finished(self, folder: Path) -> bool:
        """Whether its table is there, whole, and about these images and scorers."""
        return scores_of(self.table_file(folder), self) is not None


def scores_of(file: Path, part: ImagePart) -> pd.DataFrame | None:
    """The table of a file, None where it is missing, damaged or not of this part's images, prompts and scorers."""
    table = table_of(file)
    if table is None or {*table.columns} != {*COLUMNS, *part.scorers}:  # the order of scorers decides nothing
        return None
    found = [table[column].map(str).tolist() for column in COLUMNS]  # `astype` fails for bytes
    wanted = [[*part.images], [prompt.text for prompt in part.prompts]]
    return table if found == wanted and has_numbers(table, part.scorers) else None


def cut(
    images: Sequence[str], prompts: Sequence[Prompt], scorers: Sequence[str], images_per_part: int
) -> list[ImagePart]:
    """Parts of the images in their order. prompts: one for each image."""
    pieces = [slice(start, start + images_per_part) for start in range(0, len(images), images_per_part)]
    return [ImagePart(number, images[piece], prompts[piece], scorers) for number, piece in enumerate(pieces)]


@dataclass(frozen=True)
class ImageScoring:
    """A description of the work on the parts of a draft: the scorers of a run on the images of a folder."""

    loader: Loader
    images: Path
    draft: Path

    def __call__(self) -> Work[ImagePart]:
        """Loads the scorers. Raises `GoldenNoiseError` for one that cannot be loaded."""
        scorers, batch_size = self.loader.scorers, self.loader.config.compute.batch_size
        canary = Canary(scorers)

        def score_part(part: ImagePart, progress: Progress) -> None:
            """Raises `DataError` for an image that cannot be read, `ScorerError` for a missing or non-finite score."""
            tables = []
            for start in range(0, len(part.images), batch_size):
                piece = slice(start, start + batch_size)
                tables.append(_score(self.images, part.images[piece], part.prompts[piece], scorers, canary))
                progress.update(len(tables[-1]))
            with whole(part.table_file(self.draft)) as beside:
                pd.concat(tables).to_parquet(beside, index=False, write_page_checksum=True)
            log.info("%s is finished", part.table_file(self.draft))

        return score_part


def _score(
    folder: Path, names: Sequence[str], prompts: Sequence[Prompt], scorers: Mapping[str, Scorer], canary: Canary
) -> pd.DataFrame:
    """A row per image. Neighbours of one size are scored together."""
    images, texts = [read_image(folder / name) for name in names], [prompt.text for prompt in prompts]
    tables = []
    first = 0
    for _, group in itertools.groupby(images, key=lambda image: image.shape):
        batch = torch.from_numpy(np.stack(list(group))).permute(0, 3, 1, 2).contiguous()
        same = slice(first, first + len(batch))
        scores = score_batch(scorers, batch, prompts[same], names[same])
        canary(batch, scores, names[same])
        tables.append(pd.DataFrame({"image": names[same], "prompt": texts[same], **scores}))
        first += len(batch)
    return pd.concat(tables)


def read_parts(draft: Path, parts: Sequence[ImagePart]) -> pd.DataFrame:
    """All parts as one table, in the order of the images."""
    return pd.concat([pd.read_parquet(part.table_file(draft)) for part in parts])


def for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that a spreadsheet would take for a formula."""
    return table.assign(**{column: table[column].str.replace(FORMULA, "'", regex=True) for column in COLUMNS})
