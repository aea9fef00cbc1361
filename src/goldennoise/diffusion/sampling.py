"""Sampling on a schedule that may differ from row to row."""

import torch
from torch import Tensor

from goldennoise.diffusion.plan import Schedule
from goldennoise.diffusion.protocol import DiffusionModel, PromptEmbedding
from goldennoise.diffusion.schedules.ddim import at_least_float32


def walk(
    model: DiffusionModel, noise: Tensor, embedding: PromptEmbedding, schedule: Schedule, guidance: float
) -> Tensor:
    """Latents (B, C, h, w) at the end of `schedule`, from initial noise of unit scale, same shape and dtype.

    A row that has reached the end is not evaluated again.
    """
    latents = noise.to(at_least_float32(noise.dtype))
    level = torch.full((len(noise),), schedule.start, dtype=torch.float64)
    while len(rows := level.nonzero().flatten()):
        here, level = level[rows], schedule.next(level, None)
        points = latents[rows]
        prediction = model.predict_at(points, here, embedding[rows], guidance)
        moved = model.move_to(points, prediction, here, level[rows])
        latents = latents.index_copy(0, rows.to(latents.device), moved)
    return latents.to(noise.dtype)
