"""A model, a teacher and scorers in a few lines, all row by row, so that batching cannot change a number."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from goldennoise.data.pairs import PreferenceFilter
from goldennoise.data.pairs.index import merge
from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel, PromptEmbedding
from goldennoise.generation.collector import Collector, ShardWorker, cut
from goldennoise.methods.base import Method
from goldennoise.methods.protocol import SampleBatch
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.runtime.executors.local import Local
from goldennoise.runtime.seeding import gaussian_noise
from goldennoise.runtime.units import make_units


def prompts(num: int) -> list[Prompt]:
    return [Prompt.of(f"prompt number {number}", "even" if number % 2 == 0 else "odd") for number in range(num)]


class FakeModel:
    """Images are the first three latent channels; sampling adds the prompt's number; calls are recorded."""

    name, num_steps, guidance, latent_shape = "fake", 2, 1.0, (4, 4, 4)
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self) -> None:
        self.num_evaluations = self.num_truncated = 0
        self.encoded: list[str] = []

    def run_with(self, compute: ComputeConfig, device: torch.device) -> None: ...

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        return gaussian_noise(self.latent_shape, seeds).to(self.device, self.dtype)

    def encode(self, prompts: Sequence[str]) -> PromptEmbedding:
        self.encoded += prompts
        self.num_truncated += sum(text.endswith("7") for text in prompts)
        cond = torch.stack([torch.full((2, 3), _number(text)) for text in prompts])
        return PromptEmbedding(cond, torch.zeros_like(cond), {})

    def predict(
        self, latents: Tensor, position: int, embedding: PromptEmbedding, guidance: float, num_steps: int
    ) -> Tensor:
        raise NotImplementedError

    def move(self, latents: Tensor, prediction: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        raise NotImplementedError

    def sample(
        self,
        plan: SamplingPlan,
        embedding: PromptEmbedding,
        step_seeds: Sequence[int] | None = None,  # noqa: ARG002
    ) -> Tensor:
        self.num_evaluations += len(plan.noise) * (plan.num_steps or self.num_steps)
        noise = plan.noise * (plan.guidance or self.guidance)
        return noise + embedding.cond.mean((1, 2))[:, None, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        return latents[:, :3].float().sigmoid()


class FakeTeacher(Method):
    """Moves the noise up for some prompts and down for others, by an amount of its own for every sample."""

    def golden(self, model: DiffusionModel, batch: SampleBatch) -> Tensor:
        shift = torch.tensor([_number(prompt.text) - 0.5 for prompt in batch.prompts])[:, None, None, None]
        model.num_evaluations += len(shift)
        return batch.source + shift + 0.1 * batch.fresh_noise("fake")


@dataclass
class FakeScorer:
    """Mean of the image, times the prompt's length."""

    name: str = "brightness"
    version: str = "1"
    higher_is_better: bool = True
    unit: str = "1"
    differentiable: bool = True
    may_select: bool = True
    scored: list[str] = field(default_factory=list)

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        self.scored += [prompt.text for prompt in prompts]
        return images.mean((1, 2, 3)) * torch.tensor([float(len(prompt.text)) for prompt in prompts])


def collector(batch_size: int = 4, model: FakeModel | None = None, **fields: object) -> Collector:
    settings: dict[str, object] = {
        "model": model or FakeModel(),
        "method": FakeTeacher(),
        "scorers": {"brightness": FakeScorer(), "darkness": FakeScorer("darkness", higher_is_better=False)},
        "preference": PreferenceFilter("brightness"),
        "batch_size": batch_size,
        "root_seed": 3,
    }
    return Collector(**(settings | fields))  # type: ignore[arg-type]


def _number(text: str) -> float:
    return hashlib.sha256(text.encode()).digest()[0] / 255


def collect_pairs(
    collector: Callable[[], Collector],
    folder: Path,
    prompts: Sequence[Prompt],
    per_shard: int,
) -> pd.DataFrame:
    """All shards by one process; the index."""
    shards = cut(prompts, 1, per_shard)
    make_units(shards, folder, lambda: ShardWorker(collector(), folder), Local(), ("collect", "pairs"))
    return merge(folder, len(shards))
