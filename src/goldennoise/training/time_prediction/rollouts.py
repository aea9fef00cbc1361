"""Chains of a time predictor: sampled, scored, and compared with those of the same prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import Features, SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.diffusion.schedules.learned import LearnedSchedule
from goldennoise.errors import ConfigError
from goldennoise.methods.search.selector import Selector
from goldennoise.networks.time_predictor.network import TimePredictor
from goldennoise.runtime.seeding import derive_seed
from goldennoise.training.time_prediction.options import TimePredictionOptions


@dataclass(frozen=True)
class Seen:
    """A step of some chains. rows: (R,), of the update. features: (R, ...). ratio: (R,), next level / level."""

    rows: Tensor
    features: Features
    ratio: Tensor


@dataclass(frozen=True)
class Chains:
    """Chains (B) of an update, and what was seen and done at their steps, on the CPU.

    steps: of several chains each. scores, num_steps: (B,); a last allowed step counts here and is none of `steps`,
    since its ratio decided nothing.
    """

    steps: Sequence[Seen]
    scores: Tensor
    num_steps: Tensor


@torch.no_grad()
def rollouts(
    model: DiffusionModel,
    selector: Selector,
    network: TimePredictor,
    prompts: Sequence[Prompt],
    options: TimePredictionOptions,
    root_seed: int,
    update: int,
    batch_size: int,
) -> Chains:
    """`num_rollouts` chains of each prompt in a row, which start from the same noise and draw their own ratios.

    A chain depends on the network, its prompt, root_seed, the update and its place among the prompt's chains alone.
    batch_size: chains at once.
    """
    num = options.num_rollouts
    rows = [(prompt, place) for prompt in prompts for place in range(num)]
    steps: list[Seen] = []
    scores, counts = [], torch.zeros(len(rows))
    for first in range(0, len(rows), batch_size):
        part = rows[first : first + batch_size]
        embedding = model.encode([prompt.text for prompt, _ in part])
        noise = model.initial_noise([derive_seed(root_seed, "rollout/noise", prompt.id, update) for prompt, _ in part])
        draws = [derive_seed(root_seed, "rollout", prompt.id, update * num + place) for prompt, place in part]
        schedule = LearnedSchedule(network, options.max_steps, options.min_level, draws, keep_features=True)
        latents = model.sample(SamplingPlan(noise, schedule=schedule), embedding)
        scores.append(selector.of_images(model.decode(latents), [prompt for prompt, _ in part]).float().cpu())
        for action in schedule.actions:
            assert action.features is not None, "they are kept"
            counts[action.rows + first] += 1
            if not action.is_last:
                steps.append(Seen(action.rows + first, action.features, action.ratio))
    return Chains(steps, torch.cat(scores), counts)


def discounted(scores: Tensor, num_steps: Tensor, discount: float) -> Tensor:
    """The published reward (B,): the score times the mean of discount^k over the steps k = 0 to n - 1.

    Raises `ConfigError` for scores that are not above 0, which a longer chain would raise.
    """
    if not bool((scores > 0).all()):
        raise ConfigError(
            f"stage.discount={discount}: a discount makes longer chains better where a score is not above 0, and "
            f"one is {scores.min():.3g}; set stage.discount=null stage.step_price=0.02, a price for each step"
        )
    powers = [discount ** torch.arange(int(num), dtype=torch.float64) for num in num_steps]
    return scores * torch.stack([each.mean() for each in powers]).to(scores)


def advantages(rewards: Tensor, num_rollouts: int) -> Tensor:
    """Reward (B,) minus the mean of the other chains of the prompt; `num_rollouts` chains of a prompt in a row."""
    groups = rewards.view(-1, num_rollouts)
    others = (groups.sum(dim=1, keepdim=True) - groups) / (num_rollouts - 1)
    return (groups - others).flatten()
