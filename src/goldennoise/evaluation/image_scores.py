"""Scores of images that are there already, in parts: a part is one table, written whole or not at all."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from goldennoise.evaluation.image_folder import read_image
from goldennoise.evaluation.parts import whole
from goldennoise.scorers.protocol import Scorer, require_scores

COLUMNS = ["image", "prompt"]


@dataclass(frozen=True)
class ImagePart:
    """The unit of work. rows: columns `COLUMNS`, each image's path relative to its folder beside its prompt."""

    number: int
    rows: pd.DataFrame

    def table_file(self, draft: Path) -> Path:
        return draft / "parts" / f"{self.number:05d}.parquet"

    def is_finished(self, draft: Path, scorers: Sequence[str]) -> bool:
        """Whether its table is there, whole, and about these images and scorers."""
        try:
            table = pd.read_parquet(self.table_file(draft))
        except (OSError, pa.ArrowException):
            return False
        return list(table.columns) == [*COLUMNS, *scorers] and table[COLUMNS].equals(self.rows)


def cut(names: Sequence[str], prompts: Sequence[str], images_per_part: int) -> list[ImagePart]:
    """Parts of the images in their order. prompts: one for each image."""
    rows = pd.DataFrame({"image": list(names), "prompt": list(prompts)})
    starts = range(0, len(rows), images_per_part)
    return [
        ImagePart(number, rows[start : start + images_per_part].reset_index(drop=True))
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
    for start in range(0, len(part.rows), batch_size):
        rows = part.rows[start : start + batch_size]
        tables.append(_score(rows, [read_image(folder / name) for name in rows["image"]], scorers))
        progress(len(rows))
    with whole(part.table_file(draft)) as beside:
        pd.concat(tables).to_parquet(beside, index=False)


def _score(rows: pd.DataFrame, images: Sequence[np.ndarray], scorers: Mapping[str, Scorer]) -> pd.DataFrame:
    """The rows with a column per scorer. Neighbours of one size are scored together."""
    scored = rows.assign(**dict.fromkeys(scorers, 0.0))
    first = 0
    for _, group in itertools.groupby(images, key=lambda image: image.shape):
        batch = torch.from_numpy(np.stack(list(group))).permute(0, 3, 1, 2).contiguous()
        same_size = rows[first : first + len(batch)]
        for name, scorer in scorers.items():
            scored.loc[same_size.index, name] = _scores(name, scorer, batch, same_size)
        first += len(batch)
    return scored


def _scores(name: str, scorer: Scorer, images: Tensor, rows: pd.DataFrame) -> np.ndarray:
    with torch.no_grad():
        scores = scorer.score(images, list(rows["prompt"]))
    require_scores(name, scores, list(rows["image"]))
    return scores.cpu().double().numpy()


def read_parts(draft: Path, parts: Sequence[ImagePart]) -> pd.DataFrame:
    """All parts as one table, in the order of the images."""
    return pd.concat([pd.read_parquet(part.table_file(draft)) for part in parts], ignore_index=True)
