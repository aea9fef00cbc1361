"""Sampling on a schedule that may differ from row to row, and what stochastic samplers draw."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from goldennoise.diffusion.plan import Schedule, Step
from goldennoise.diffusion.protocol import DiffusionModel, PromptEmbedding
from goldennoise.diffusion.schedules.ddim import at_least_float32
from goldennoise.errors import ModelError, require


def walk(
    model: DiffusionModel, noise: Tensor, embedding: PromptEmbedding, schedule: Schedule, guidance: float
) -> Tensor:
    """Latents (B, C, h, w) at the end of `schedule`, from initial noise of unit scale, same shape and dtype.

    A row that has reached the end is not evaluated again.
    """
    latents = noise.to(at_least_float32(noise.dtype))
    level = torch.full((len(noise),), schedule.start, dtype=torch.float64)
    number = 0
    while len(rows := level.nonzero().flatten()):
        here, points, texts = level[rows], latents[rows], embedding[rows]
        if schedule.reads_features:
            prediction, features = model.predict_with_features(points, here, texts, guidance)
        else:
            prediction, features = model.predict_at(points, here, texts, guidance), None
        there = schedule.next(here, Step(number, rows), features)
        moved = model.move_to(points, prediction, here, there)
        latents, level = latents.index_copy(0, rows.to(latents.device), moved), level.index_copy(0, rows, there)
        number += 1
    return latents.to(noise.dtype)


def step_draws(scheduler: Any, step_seeds: Sequence[int] | None, num: int) -> dict[str, list[Generator]]:
    """What the steps of a stochastic scheduler draw from, a generator for each of `num` rows.

    On the CPU, so that every device draws the same. Raises `ModelError` without seeds, `ConfigError` for more or fewer.
    """
    if step_seeds is None:
        raise ModelError(
            f"{type(scheduler).__name__} draws noise at its steps, so equal noise gives equal images only with "
            "equal seeds for these draws: give sample() step_seeds, one for each row."
        )
    require(len(step_seeds) == num, "step_seeds", list(step_seeds), f"one for each of the {num} rows of noise")
    return {"generator": [Generator().manual_seed(seed) for seed in step_seeds]}
