"""A part: one method on some prompts with all seeds. Written whole or not at all, so a killed run goes on after it.

`images/<method>/<prompt id>-<seed>.png` come first, `parts/<method>-00000.parquet` last: where it is, the part is
finished. A part has one row per sample: its share of the cost, a column `noise_<statistic>` per statistic of its
noise, a column `score_<scorer>` per scorer, the `thumbnail` of its image, its `embedding` where a scorer embeds images,
and the noise `levels` it was sampled on where its method has a schedule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from goldennoise.generation.batch import Sample
from goldennoise.generation.noise import STATISTICS
from goldennoise.store.files import whole

SCORE_COLUMNS = ["prompt_id", "prompt", "category", "seed", "method", "scorer", "score"]
COST_COLUMNS = ["num_evaluations", "seconds", "peak_memory_bytes", "memory"]
PREFIX = "score_"
NOISE_PREFIX = "noise_"
THUMBNAIL = "thumbnail"
EMBEDDING = "embedding"
LEVELS = "levels"
LEVEL_COLUMNS = ["prompt_id", "seed", "method", LEVELS]


@dataclass(frozen=True)
class Part:
    """The unit of work of an evaluation. scorers: by whom its images are scored."""

    method: str
    number: int
    samples: Sequence[Sample]
    scorers: Sequence[str]

    @property
    def size(self) -> int:
        """Number of its images."""
        return len(self.samples)

    def is_finished(self, folder: Path) -> bool:
        """Whether the part is there, whole, about these samples, of the same kinds, and scorers, and has all its
        images."""
        table = table_of(self.table_file(folder))
        if table is None:
            return False
        numbers = [*COST_COLUMNS[:3], *(NOISE_PREFIX + statistic for statistic in STATISTICS)]
        numbers += [PREFIX + scorer for scorer in self.scorers]
        vectors = [name for name in (THUMBNAIL, EMBEDDING) if name in table or name == THUMBNAIL]
        wanted_columns = {*SCORE_COLUMNS[:4], *COST_COLUMNS, *numbers, *vectors}  # scorers come in any order
        if {*table.columns} - {LEVELS} != wanted_columns or not (LEVELS not in table or has_levels(table[LEVELS])):
            return False
        found = table[SCORE_COLUMNS[:4]].map(str).values.tolist()  # `astype` fails for bytes
        wanted = [[s.prompt.id, s.prompt.text, s.prompt.category, str(s.seed)] for s in self.samples]
        is_whole = (
            found == wanted and has_numbers(table, numbers) and all(_has_vectors(table[name]) for name in vectors)
        )
        return is_whole and all(map(_is_whole_image, self.image_files(folder)))

    def table_file(self, folder: Path) -> Path:
        return folder / "parts" / f"{self.method}-{self.number:05d}.parquet"

    def image_files(self, folder: Path) -> list[Path]:
        return [image_file(folder, self.method, sample.prompt.id, sample.seed) for sample in self.samples]


def image_file(folder: Path, method: str, prompt_id: str, seed: int) -> Path:
    """Where the image of one cell of the grid lies in a scores artifact."""
    return folder / "images" / method / f"{prompt_id}-{seed}.png"


def cut(samples: Sequence[Sample], methods: Sequence[str], scorers: Sequence[str], samples_per_part: int) -> list[Part]:
    """Parts in the order of work: all methods on the first samples, then on the next, so that a stop stays paired."""
    starts = range(0, len(samples), samples_per_part)
    return [
        Part(method, number, samples[start : start + samples_per_part], scorers)
        for number, start in enumerate(starts)
        for method in methods
    ]


def has_numbers(table: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether these columns hold finite numbers; what is missing, such as memory that cannot be measured, is allowed
    where the type of the column knows it."""
    numbers = [table[column].dropna() if table[column].dtype == "Int64" else table[column] for column in columns]
    return all(column.dtype.kind in "iuf" and np.isfinite(column.to_numpy(dtype=float)).all() for column in numbers)


def has_levels(column: pd.Series) -> bool:
    """Whether a column holds noise levels that fall from 1 at most to 0."""
    for levels in column:
        found = np.asarray(levels)
        if found.ndim != 1 or found.dtype.kind != "f" or len(found) < 2:
            return False
        if not (np.diff(found) < 0).all() or found[0] > 1 or found[-1] != 0:
            return False
    return True


def _has_vectors(column: pd.Series) -> bool:
    """Whether a column holds vectors of finite numbers, all of one length."""
    try:
        vectors = np.stack(column.tolist())
    except (ValueError, TypeError):
        return False
    return vectors.ndim == 2 and vectors.dtype.kind == "f" and bool(np.isfinite(vectors).all())


def _is_whole_image(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError):
        # Pillow reports a damaged PNG as a SyntaxError.
        return False
    return True


def table_of(file: Path) -> pd.DataFrame | None:
    """The table of a part, None where it is missing or damaged."""
    if not file.is_file():
        return None
    try:
        return pq.read_table(file, page_checksum_verification=True).to_pandas()
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None


def write_images(folder: Path, part: Part, start: int, images: NDArray[np.uint8], origin: Mapping[str, str]) -> None:
    """Images (B, height, width, 3) of the part's samples from `start` on, with where they come from as their metadata.

    Text fields of the PNG: prompt, seed (its index), method, and those of `origin`.
    """
    samples = part.samples[start : start + len(images)]
    for sample, image in zip(samples, images, strict=True):
        fields = {"prompt": sample.prompt.text, "seed": str(sample.seed), "method": part.method, **origin}
        with whole(image_file(folder, part.method, sample.prompt.id, sample.seed)) as beside:
            Image.fromarray(image).save(beside, format="PNG", pnginfo=png_metadata(fields))


def png_metadata(fields: Mapping[str, str]) -> PngInfo:
    """Text fields of a PNG, in UTF-8."""
    metadata = PngInfo()
    for name, text in fields.items():
        metadata.add_itxt(name, text)
    return metadata


def write_table(folder: Path, part: Part, measured: pd.DataFrame) -> None:
    """Finish a part. measured: all columns but those that name the sample, row i of sample i."""
    samples = pd.DataFrame(
        [(sample.prompt.id, sample.prompt.text, sample.prompt.category, sample.seed) for sample in part.samples],
        columns=SCORE_COLUMNS[:4],
    )
    table = pd.concat([samples, measured.reset_index(drop=True)], axis=1)
    with whole(part.table_file(folder)) as beside:
        table.to_parquet(beside, index=False, write_page_checksum=True)


def read_parts(folder: Path, parts: Sequence[Part]) -> pd.DataFrame:
    """All parts as one table, one row per sample and method, in the order of the grid within each method."""
    ordered = sorted(parts, key=lambda part: part.number)
    tables = [pd.read_parquet(part.table_file(folder)).assign(method=part.method) for part in ordered]
    return pd.concat(tables, ignore_index=True)


def level_rows(table: pd.DataFrame) -> pd.DataFrame:
    """What `levels.parquet` holds: one row per prompt, seed and method that has a schedule."""
    return table.dropna(subset=[LEVELS])[LEVEL_COLUMNS]


def score_rows(table: pd.DataFrame, scorers: Sequence[str]) -> pd.DataFrame:
    """What `scores.parquet` holds: one row per prompt, seed, method and scorer."""
    rows = table.melt(
        id_vars=["prompt_id", "prompt", "category", "seed", "method"],
        value_vars=[PREFIX + scorer for scorer in scorers],
        var_name="scorer",
        value_name="score",
    )
    rows["scorer"] = rows["scorer"].str.removeprefix(PREFIX)
    return rows[SCORE_COLUMNS]
