"""Collecting pairs: source noise, golden noise from a method; to filter them, an image of both and every score."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from goldennoise import methods
from goldennoise.data.pairs.index import Scores, index_rows, located
from goldennoise.data.pairs.preference import PreferenceFilter
from goldennoise.data.pairs.shards import Shard, tensors_path, valid, write_shard
from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import ConfigError, ModelError
from goldennoise.generation.loader import Loader
from goldennoise.methods.base import After, Method
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.tools import MethodTools
from goldennoise.runtime.progress import Progress
from goldennoise.runtime.seeding import derive_seed
from goldennoise.scorers.batch import Canary, score_batch
from goldennoise.scorers.protocol import Scorer

log = logging.getLogger(__name__)

OnRows = Callable[[pd.DataFrame], object]


@dataclass(frozen=True)
class Collector:
    """Makes `num_seeds` pairs of every prompt; each depends on its prompt, `root_seed` and the index of its seed alone,
    from `seed_index` on, not on batch or shard.

    scorers: name in the index -> scorer. preference: None keeps every pair, and no image is sampled.
    batch_size: pairs at once, of two images each.
    """

    model: DiffusionModel
    method: Method
    scorers: Mapping[str, Scorer]
    preference: PreferenceFilter | None
    batch_size: int
    root_seed: int = 0
    seed_index: int = 0
    num_seeds: int = 1

    def shard(self, prompts: Sequence[Prompt], number: int, on_rows: OnRows | None = None) -> Shard:
        """The pairs of these prompts; `on_rows` is called with the index rows of every batch."""
        start, evaluations, truncated = time.monotonic(), self.model.num_evaluations, _num_truncated(self.model)
        sources, goldens, rows = [], [], []
        indices = range(self.seed_index, self.seed_index + self.num_seeds)
        samples = [(prompt, seed) for prompt in prompts for seed in indices]
        for first in range(0, len(samples), self.batch_size):
            source, golden, index = self.batch(samples[first : first + self.batch_size])
            sources.append(source.cpu())
            goldens.append(golden.cpu())
            rows.append(index)
            if on_rows is not None:
                on_rows(index)
        figures = {
            "evaluations": self.model.num_evaluations - evaluations,
            "truncated": _num_truncated(self.model) - truncated,
            "seconds": time.monotonic() - start,
        }
        return Shard(torch.cat(sources), torch.cat(goldens), located(rows, number), figures)

    @torch.no_grad()
    def batch(self, samples: Sequence[tuple[Prompt, int]]) -> tuple[Tensor, Tensor, pd.DataFrame]:
        """Source and golden noise (B, C, h, w) on the model's device, and index rows without a place in a shard.

        samples: prompts with the index of a seed each.
        """
        prompts, seeds = [prompt for prompt, _ in samples], [seed for _, seed in samples]
        embedding, source = self.model.encode([prompt.text for prompt in prompts]), self.source_noise(samples)
        batch = SampleBatch(prompts, seeds, embedding, source, self.root_seed)
        plan = self.method.plan(self.model, batch)
        if not plan.is_noise_alone:
            raise ConfigError(
                "the method of this run plans more of sampling than its noise, which is all that pairs hold: choose "
                "one that changes neither guidance nor schedule"
            )
        golden = plan.noise.to(source)
        _require_noise(golden, source, prompts)
        return source, golden, index_rows(samples, self._scores(batch, golden), self.preference)

    def _scores(self, batch: SampleBatch, golden: Tensor) -> dict[str, tuple[Scores, Scores]]:
        """Of every scorer for the source's images and for those of the golden noise; nothing without a filter."""
        if self.preference is None:
            return {}
        # One batch for both images halves the number of calls of the denoiser: [source 0, golden 0, source 1, ...].
        noise = torch.stack([batch.source, golden], dim=1).flatten(0, 1)
        step_seeds = [seed for seed in batch.step_seeds for _ in range(2)]
        images = self.model.decode(self.model.sample(SamplingPlan(noise), batch.embedding.repeat(2), step_seeds))
        doubled = [prompt for prompt in batch.prompts for _ in range(2)]
        called = [f'the {image} image of "{prompt.text}"' for prompt in batch.prompts for image in ("source", "golden")]
        scores = score_batch(self.scorers, images, doubled, called)
        self._canary(images, scores, called)
        return {name: (values[0::2], values[1::2]) for name, values in scores.items()}

    @cached_property
    def _canary(self) -> Canary:
        return Canary(self.scorers)

    def source_noise(self, samples: Sequence[tuple[Prompt, int]]) -> Tensor:
        """Standard normal noise (B, C, h, w) in the model's dtype, each row from its own generator."""
        seeds = [derive_seed(self.root_seed, "source", prompt.id, seed) for prompt, seed in samples]
        return self.model.initial_noise(seeds)


@dataclass(frozen=True)
class PairShard:
    """The unit of work of collect: `num_seeds` pairs of every prompt."""

    number: int
    prompts: Sequence[Prompt]
    num_seeds: int

    @property
    def size(self) -> int:
        """Number of its pairs."""
        return len(self.prompts) * self.num_seeds

    def is_finished(self, folder: Path) -> bool:
        """Whether both its files are there, readable and agree."""
        return valid(folder, self.number)


def cut(prompts: Sequence[Prompt], num_seeds: int, prompts_per_shard: int) -> list[PairShard]:
    """Shards of the prompts in their order."""
    starts = range(0, len(prompts), prompts_per_shard)
    return [
        PairShard(number, prompts[start : start + prompts_per_shard], num_seeds) for number, start in enumerate(starts)
    ]


@dataclass(frozen=True)
class ShardMaker:
    """A description of the work on the shards of a draft: the model, the scorers and the methods of a run.

    chain: configs of the methods that make golden noise one after the other. networks: folder of every trained network,
    by its reference as these write it.
    """

    loader: Loader
    chain: Sequence[Any]
    networks: Mapping[str, Path]
    draft: Path

    def __call__(self) -> "ShardWorker":
        """Loads them. Raises `GoldenNoiseError` for what cannot be loaded."""
        config, scorers = self.loader.config, self.loader.scorers
        stage = config.stage
        chosen = stage.preference
        preference = None
        if chosen is not None:
            preference = PreferenceFilter(chosen, stage.margin, scorers[chosen].higher_is_better is not False)
        tools = MethodTools(scorers, lambda _, reference: self.networks[reference])
        method = reduce(After, [methods.build(one, tools) for one in self.chain])
        collector = Collector(
            self.loader.model,
            method,
            scorers,
            preference,
            config.compute.batch_size,
            config.seed,
            stage.seed_index,
            stage.num_seeds,
        )
        return ShardWorker(collector, self.draft)


@dataclass
class ShardWorker:
    """Makes shards in the draft in `folder`, and tells the share of accepted pairs where they are filtered."""

    collector: Collector
    folder: Path
    num_pairs: int = 0
    num_kept: int = 0

    def __call__(self, shard: PairShard, progress: Progress) -> None:
        if tensors_path(self.folder, shard.number).exists():
            log.warning("%s is damaged or unfinished and is made again", tensors_path(self.folder, shard.number))

        def count(rows: pd.DataFrame) -> None:
            self.num_pairs += len(rows)
            self.num_kept += int(rows["kept"].sum())
            if self.collector.preference is not None:
                progress.note(f"accepted {self.num_kept / self.num_pairs:.1%}")
            progress.update(len(rows))

        write_shard(self.folder, shard.number, self.collector.shard(shard.prompts, shard.number, count))


def _num_truncated(model: DiffusionModel) -> int:
    """Prompts cut to the text encoder's length so far; a model that does not count them has cut none."""
    return int(getattr(model, "num_truncated", 0))


def _require_noise(golden: Tensor, source: Tensor, prompts: Sequence[Prompt]) -> None:
    if golden.shape != source.shape:
        raise ModelError(f"the method returned noise of shape {tuple(golden.shape)} for {tuple(source.shape)}")
    finite = torch.isfinite(golden).flatten(1).all(dim=1).tolist()
    if not all(finite):
        raise ModelError(
            f'the golden noise for "{prompts[finite.index(False)].text}" is not finite; '
            "try model.dtype=float32 or smaller guidance scales of the method"
        )
