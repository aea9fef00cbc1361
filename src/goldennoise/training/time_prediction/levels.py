"""The schedules that a trained network chooses for held-out prompts, and their mean."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.diffusion.schedules.learned import LearnedSchedule
from goldennoise.networks.time_predictor.network import TimePredictor
from goldennoise.runtime.seeding import derive_seed
from goldennoise.training.time_prediction.options import TimePredictionOptions


@torch.no_grad()
def chosen_levels(
    model: DiffusionModel,
    network: TimePredictor,
    prompts: Sequence[Prompt],
    options: TimePredictionOptions,
    root_seed: int,
    batch_size: int,
) -> list[tuple[float, ...]]:
    """The levels that the network takes for one image of each prompt, from 1 to 0."""
    found = []
    for first in range(0, len(prompts), batch_size):
        part = prompts[first : first + batch_size]
        noise = model.initial_noise([derive_seed(root_seed, "validation/noise", prompt.id) for prompt in part])
        schedule = LearnedSchedule(network, options.max_steps, options.min_level)
        model.sample(SamplingPlan(noise, schedule=schedule), model.encode([prompt.text for prompt in part]))
        found += schedule.taken(len(part))
    return found


def shared_levels(chosen: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """One schedule of the mean number of steps, whose levels are geometric means of those that the chains have there.

    At each of its steps a chain counts with its level at the same share of its own steps, log-linear between two.
    """
    num_steps = math.floor(sum(len(levels) - 1 for levels in chosen) / len(chosen) + 0.5)
    shares = np.linspace(0, 1, num_steps)
    logs = [np.log(levels[:-1]) for levels in chosen]
    means = np.mean([np.interp(shares, np.linspace(0, 1, len(levels)), levels) for levels in logs], axis=0)
    return (*np.exp(means).tolist(), 0.0)
