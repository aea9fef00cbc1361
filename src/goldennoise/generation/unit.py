"""One part of the grid: sample, keep the images, score what is kept."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from goldennoise import methods
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import GoldenNoiseError
from goldennoise.generation.batch import generate, warm_up
from goldennoise.generation.cost import Cost
from goldennoise.generation.loader import Loader
from goldennoise.generation.noise import noise_statistics
from goldennoise.generation.thumbnails import thumbnails
from goldennoise.generation.units import (
    COST_COLUMNS,
    EMBEDDING,
    LEVELS,
    NOISE_PREFIX,
    PREFIX,
    THUMBNAIL,
    Part,
    write_images,
    write_table,
)
from goldennoise.methods.base import Method
from goldennoise.methods.tools import MethodTools
from goldennoise.runtime.progress import Progress
from goldennoise.scorers.batch import Canary, score_batch
from goldennoise.scorers.protocol import Embedder, Scorer
from goldennoise.store.drafts import DRAFT
from goldennoise.store.record import read_header

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartMaker:
    """A description of the work on the parts of a draft: the model, the methods and the scorers of a run.

    networks: folder of every trained network, by its reference as the run's methods write it. batch_size: images at
    once.
    """

    config: Any
    loader: Loader
    networks: Mapping[str, Path]
    draft: Path
    batch_size: int

    def __call__(self) -> "PartWorker":
        """Loads them. Raises `GoldenNoiseError` for what cannot be loaded."""
        config, scorers = self.config, self.loader.scorers
        # Methods first: what they cannot be built from shows before the large model is loaded.
        tools = MethodTools(scorers, lambda _, reference: self.networks[reference], config.method)
        built = {name: methods.build(method, tools) for name, method in config.method.items()}
        fingerprint = read_header(self.draft / DRAFT)["fingerprint"]
        return PartWorker(self.draft, self.loader.model, built, scorers, config.seed, self.batch_size, fingerprint)


@dataclass
class PartWorker:
    """Samples, keeps the images, scores what is kept.

    batch_size: images at once. fingerprint: of the artifact, which the images' metadata name beside the model and the
    root seed.
    """

    draft: Path
    model: DiffusionModel
    methods: Mapping[str, Method]
    scorers: Mapping[str, Scorer]
    root_seed: int = 0
    batch_size: int = 1
    fingerprint: str = ""
    is_warm: bool = False

    def __post_init__(self) -> None:
        self._canary = Canary(self.scorers)

    def __call__(self, part: Part, progress: Progress) -> None:
        """Write the part's images and table. Raises `GoldenNoiseError` naming the method.

        Scorers see the images as they are kept, in 8 bits, so anybody can score an artifact's images again.
        """
        if not self.is_warm:
            self._prepare(part)
            self.is_warm = True
        progress.note(part.method)
        measured = []
        try:
            for start in range(0, len(part.samples), self.batch_size):
                measured.append(self._batch(part, start))
                progress.update(len(measured[-1]))
        except GoldenNoiseError as error:
            raise type(error)(f"method {part.method}: {error}") from error
        write_table(self.draft, part, pd.concat(measured))
        log.info("%s is finished", part.table_file(self.draft))

    def _prepare(self, first: Part) -> None:
        """What no image costs. What a method cannot do with the model shows before another one's images are made."""
        for name, method in self.methods.items():
            try:
                method.prepare(self.model)
            except GoldenNoiseError as error:
                raise type(error)(f"method {name}: {error}") from error
        warm_up(self.model, first.samples[: self.batch_size], self.root_seed)

    def _batch(self, part: Part, start: int) -> pd.DataFrame:
        """What is measured on the samples from `start` on, a row each; their images are written."""
        samples = part.samples[start : start + self.batch_size]
        made = generate(self.model, self.methods[part.method], samples, self.root_seed)
        origin = {"model": self.model.name, "root_seed": str(self.root_seed), "fingerprint": self.fingerprint}
        write_images(self.draft, part, start, made.pixels.permute(0, 2, 3, 1).numpy(), origin)
        images = made.pixels.float() / 255
        columns = {NOISE_PREFIX + name: values.numpy() for name, values in noise_statistics(made.noise).items()}
        prompts = [sample.prompt for sample in samples]
        called = [f'"{sample.prompt.text}" with seed {sample.seed}' for sample in samples]
        scores = score_batch(self.scorers, images, prompts, called)
        self._canary(images, scores, called)
        columns |= {PREFIX + name: values for name, values in scores.items()}
        found = pd.concat([_shares(made.cost, len(samples)), pd.DataFrame(columns)], axis=1)
        found[THUMBNAIL] = list(thumbnails(images).numpy())
        if made.levels is not None:
            found[LEVELS] = list(map(list, made.levels))
        if (named := embedder_of(self.scorers)) is not None:
            found[EMBEDDING] = list(named[1].embed(images).numpy())
        return found


def embedder_of(scorers: Mapping[str, Scorer]) -> tuple[str, Embedder] | None:
    """The scorer by whose image embedding diversity is measured too, the first by name; None if there is none."""
    return next(((name, scorer) for name, scorer in sorted(scorers.items()) if isinstance(scorer, Embedder)), None)


def _shares(cost: Cost, num_samples: int) -> pd.DataFrame:
    row = (cost.num_evaluations / num_samples, cost.seconds / num_samples, cost.peak_memory_bytes, cost.memory)
    table = pd.DataFrame([row] * num_samples, columns=COST_COLUMNS)
    return table.astype({"peak_memory_bytes": "Int64"})
