"""A schedule that a network predicts from the denoiser's features, step by step, for every image its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goldennoise.diffusion.plan import Features, Step
from goldennoise.errors import ModelError
from goldennoise.networks.time_predictor.network import TimePredictor, as_published
from goldennoise.networks.time_predictor.policy import BetaPolicy
from goldennoise.runtime.seeding import derive_seed


@dataclass(frozen=True)
class Action:
    """What a schedule did at one step, on the CPU. rows: (R,), of the batch. ratio: (R,), float32, of levels as it was
    predicted. there: (R,), the next level. is_last: whether it was the last allowed step, which goes to 0 whatever the
    ratio. features: what it read, None where they are not kept.
    """

    rows: Tensor
    ratio: Tensor
    there: Tensor
    is_last: bool
    features: Features | None


class LearnedSchedule:
    """A `Schedule`: next level = ratio x level, where the ratio is the mode of the predicted policy, or a draw from it.

    A level below `min_level`, and the last allowed step, go to 0 exactly. Row i depends on row i alone.
    """

    start = 1.0
    reads_features = True

    def __init__(
        self,
        network: TimePredictor,
        max_steps: int | None = None,
        min_level: float | None = None,
        draws: Sequence[int] | None = None,
        keep_features: bool = False,
    ) -> None:
        """max_steps, min_level: None for those of the network's training. draws: a seed for each row to draw its ratios
        with, None for the mode. keep_features: in `actions`.
        """
        self.network = network
        self.max_steps = network.config.max_steps if max_steps is None else max_steps
        self.min_level = network.config.min_level if min_level is None else min_level
        self.draws, self.keep_features = draws, keep_features
        self.actions: list[Action] = []

    @torch.no_grad()
    def next(self, level: Tensor, step: Step, features: Features | None) -> Tensor:
        """Raises `ModelError` for features of another width, and where the network gives no finite numbers."""
        assert features is not None, "it reads features"
        if step.number == 0:
            self.actions = []
        if not bool(features.maps.isfinite().all() & features.time.isfinite().all()):
            raise ModelError(
                "The denoiser's features are not finite: check the initial noise and the guidance scale, or run the "
                "model in a wider number format."
            )
        self.network.to(features.maps.device)
        policy = policy_at(self.network, features)
        if not bool((policy.alpha.isfinite() & policy.beta.isfinite()).all()):
            raise ModelError("The time predictor gives numbers that are not finite: train it again, at a lower rate.")
        if self.draws is None:
            ratio = policy.mode
        else:
            seeds = [derive_seed(self.draws[row], "ratio", "", step.number) for row in step.rows.tolist()]
            ratio = policy.draw(seeds)
        there = level * ratio.cpu().double()
        is_last = step.number + 1 >= self.max_steps
        there = torch.zeros_like(there) if is_last else torch.where(there < self.min_level, 0.0, there)
        kept = features.to("cpu") if self.keep_features else None
        self.actions.append(Action(step.rows, ratio.cpu(), there, is_last, kept))
        return there

    def taken(self, num_rows: int) -> list[tuple[float, ...]]:
        levels = [[self.start] for _ in range(num_rows)]
        for action in self.actions:
            for row, there in zip(action.rows.tolist(), action.there.tolist(), strict=True):
                levels[row].append(there)
        return [tuple(row) for row in levels]


def policy_at(network: TimePredictor, features: Features) -> BetaPolicy:
    """The policy of a network for the rows of `features`, on the network's device."""
    found = features.to(network.conv1.weight.device)
    maps = as_published(found.maps) if network.config.layout == "published" else found.maps
    return BetaPolicy(*network(maps, found.time))
