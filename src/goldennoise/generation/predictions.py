"""Samples, their scores and what predictors see of them, in parts: a part is one table, written whole or not at all."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from goldennoise.generation import predictors
from goldennoise.generation.batch import Sample, pixels_of, source_noise
from goldennoise.generation.loader import Loader
from goldennoise.generation.predictors.base import Predictor, Seen
from goldennoise.generation.units import PREFIX, SCORE_COLUMNS, has_numbers, table_of
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.search.selector import Selector
from goldennoise.runtime.progress import Progress
from goldennoise.runtime.units import Work
from goldennoise.scorers.batch import score_batch
from goldennoise.store.files import whole

log = logging.getLogger(__name__)

EVALUATIONS = "num_evaluations"
"""Column of the model evaluations of a whole sampling."""


@dataclass(frozen=True)
class PredictionPart:
    """The unit of work: some samples. scorers: by whom their images are scored."""

    number: int
    samples: Sequence[Sample]
    scorers: Sequence[str]

    @property
    def size(self) -> int:
        """Number of its samples."""
        return len(self.samples)

    def table_file(self, draft: Path) -> Path:
        return draft / "parts" / f"{self.number:05d}.parquet"

    def is_finished(self, folder: Path) -> bool:
        """Whether its table is there, whole, and about these samples and scorers."""
        table = table_of(self.table_file(folder))
        numbers = [EVALUATIONS, *(PREFIX + scorer for scorer in self.scorers)]
        if table is None or not {*SCORE_COLUMNS[:4], *numbers} <= {*table.columns}:
            return False
        found = table[["prompt_id", "seed"]].map(str).values.tolist()
        wanted = [[sample.prompt.id, str(sample.seed)] for sample in self.samples]
        return found == wanted and has_numbers(table, numbers)


def cut(samples: Sequence[Sample], scorers: Sequence[str], images_per_part: int) -> list[PredictionPart]:
    """Parts of the samples in their order."""
    starts = range(0, len(samples), images_per_part)
    return [
        PredictionPart(number, samples[start : start + images_per_part], scorers) for number, start in enumerate(starts)
    ]


@dataclass(frozen=True)
class PredictionMaker:
    """A description of the work on the parts of a draft. loader: of the run, whose stage names the predictors."""

    loader: Loader
    draft: Path

    def __call__(self) -> Work[PredictionPart]:
        """Loads model and scorers. Raises `GoldenNoiseError` for one that cannot be loaded."""
        watch = Watch(self.loader)
        batch_size = self.loader.config.compute.batch_size

        def make(part: PredictionPart, progress: Progress) -> None:
            tables = []
            for start in range(0, len(part.samples), batch_size):
                tables.append(watch(part.samples[start : start + batch_size]))
                progress.update(len(tables[-1]))
            with whole(part.table_file(self.draft)) as beside:
                pd.concat(tables).to_parquet(beside, index=False, write_page_checksum=True)
            log.info("%s is finished", part.table_file(self.draft))

        return make


class Watch:
    """Samples the source noise of a batch by the model's own sampler, and lets every predictor see it."""

    def __init__(self, loader: Loader) -> None:
        self.config, self.model, self.scorers = loader.config, loader.model, loader.scorers
        selector = Selector(self.scorers[self.config.stage.selecting_scorer])
        self.predictors = built(self.config.stage.predictors, selector)

    @torch.no_grad()
    def __call__(self, samples: Sequence[Sample]) -> pd.DataFrame:
        """A row for each sample. Raises `ModelError` or `ScorerError` for an image that cannot be scored."""
        prompts, model = [sample.prompt for sample in samples], self.model
        embedding, source = model.encode([p.text for p in prompts]), source_noise(model, samples, self.config.seed)
        batch = SampleBatch(prompts, [sample.seed for sample in samples], embedding, source, self.config.seed)
        before, latents = model.num_evaluations, source
        previews: dict[int, Tensor] = {}
        taken: dict[int, float] = {}
        for step, latents in enumerate(model.previews(source, embedding, batch.step_seeds), start=1):
            if step in self.config.stage.preview_steps:
                previews[step] = latents
                taken[step] = (model.num_evaluations - before) / len(samples)
        whole_cost = (model.num_evaluations - before) / len(samples)
        images = pixels_of(model, model.decode(latents), samples).float() / 255
        called = [f'"{sample.prompt.text}" with seed {sample.seed}' for sample in samples]
        scores = score_batch(self.scorers, images, prompts, called)
        rows = [(s.prompt.id, s.prompt.text, s.prompt.category, s.seed, whole_cost) for s in samples]
        table = pd.DataFrame(rows, columns=[*SCORE_COLUMNS[:4], EVALUATIONS])
        columns: dict[str, Any] = {PREFIX + name: values for name, values in scores.items()}
        for predictor in self.predictors:
            columns |= predictor.measured(Seen(model, batch, previews, taken))
        return table.assign(**columns)


def built(kinds: Sequence[str], selector: Selector) -> list[Predictor]:
    """The predictors of these kinds."""
    return [predictors.component(kind).build(selector) for kind in kinds]


def read_parts(draft: Path, parts: Sequence[PredictionPart], higher_is_better: Mapping[str, bool]) -> pd.DataFrame:
    """The tables of all parts in their order. higher_is_better: of each scorer; scores are turned so that it is."""
    table = pd.concat([pd.read_parquet(part.table_file(draft)) for part in parts], ignore_index=True)
    for scorer, higher in higher_is_better.items():
        table[PREFIX + scorer] *= 1 if higher else -1
    return table
