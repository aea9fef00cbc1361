"""A policy over the initial noise of every prompt, trained by its rewards (FIND, arXiv 2407.19453).

One-step decision process: the action is the noise z ~ N(mu, diag(sigma^2)), the environment the frozen sampler, the
reward a scorer's. Unlike in the published code (GitHub vpx-ecnu/FIND) the ratio is taken against the policy that drew
the batch, log-probabilities are summed over dimensions, and every advantage belongs to its own rollout.
docs/science.md lists all that differs.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.errors import require
from goldennoise.methods.base import Method, SearchConfig
from goldennoise.store.options import NOT_NEGATIVE, POSITIVE, number, one_of, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.search.policy import Values
    from goldennoise.methods.search.selector import Selector
    from goldennoise.methods.tools import MethodTools

DIFFERS = (
    "find follows FIND (arXiv 2407.19453) without the defects of its code; by default it takes fewer updates, of more "
    "rollouts each, with another regulariser, and method=[find_published] has the published settings."
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config(SearchConfig):
    """The policy, and how it is trained.

    At SDXL's size (4 x 128 x 128) the clip stops a batch's steps after the first, because the log-ratio is a sum over
    all latents, and the value networks take 0.55 GB a sample; another calibration has none.
    """

    kind: str = "find"
    num_updates: int = option(4, number(least=1))
    """Batches of noises, at least 1."""
    num_rollouts: int = option(4, number(least=1))
    """Noises of a batch, at least 1."""
    num_epochs: int = option(4, number(least=1))
    """Gradient steps of a batch, at least 1."""
    calibration: str = option("value", one_of("value", "leave_one_out", "none"))
    """What is subtracted from the reward: a learned value of (mu, sigma, prompt) (value), the mean of the batch's other
    rollouts (leave_one_out), or nothing (none)."""
    ratio_clip: float | None = option(0.2, number(above=0, below=1))
    """Between 0 and 1; null for REINFORCE steps, of which only the first of a batch is unbiased."""
    surrogate: str = option("min", one_of("min", "clamp"))
    """With a clip, the smaller of the gains by the ratio and by the clipped ratio (min), or the latter alone (clamp).
    """
    policy_weight: float = option(10.0, POSITIVE)
    """Of the surrogate, above 0."""
    kl_weight: float = option(0.01, NOT_NEGATIVE)
    """Of the regulariser, at least 0."""
    regulariser: str = option("kl", one_of("kl", "moments"))
    """The KL divergence to N(0, I) (kl), or mu^2 + (sigma - 1)^2 (moments)."""
    parameter: str = option("log_sigma", one_of("log_sigma", "sigma"))
    """What is learnt beside mu: log_sigma or sigma."""
    learning_rate: float = option(1e-3, POSITIVE)
    """Of AdamW on mu and the parameter, above 0."""
    momentum: float = option(0.0, number(least=0, below=1))
    """Its beta1, at least 0 and below 1."""
    value_learning_rate: float = option(1e-4, POSITIVE)
    """Of the value network, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.num_rollouts >= 2 or self.calibration != "leave_one_out"
        require(fits, "num_rollouts", self.num_rollouts, "at least 2 to leave one out")

    def golden_evaluations(self, sampling: Sampling) -> Amount:
        return sampling.image() * (self.num_updates * self.num_rollouts)


class Find(Method):
    """The golden noise is the policy's draw at the source noise: mu + sigma x source."""

    def __init__(self, config: Config, selector: "Selector") -> None:
        self.config = config
        self.selector = selector

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Raises `ScorerError` for a non-finite reward."""
        import torch

        from goldennoise.methods.search.policy import NoisePolicy, PolicyUpdate, Values

        config = self.config
        policy = NoisePolicy(batch.source.shape, batch.source.device, config.parameter)
        update = PolicyUpdate(
            policy,
            learning_rate=config.learning_rate,
            num_epochs=config.num_epochs,
            ratio_clip=config.ratio_clip,
            policy_weight=config.policy_weight,
            kl_weight=config.kl_weight,
            surrogate=config.surrogate,
            regulariser=config.regulariser,
            momentum=config.momentum,
        )
        values = Values(policy, batch, config.value_learning_rate) if config.calibration == "value" else None
        for position in range(config.num_updates):
            purposes = [f"find/{position}/{k}" for k in range(config.num_rollouts)]
            fresh = [model.initial_noise(batch.derived_seeds(purpose)) for purpose in purposes]
            noise = policy.draw(torch.stack(fresh))
            rewards = torch.stack([self.selector.of_noise(model, z.to(batch.source), batch) for z in noise])
            figures = update(noise, self._advantages(rewards, values))
            log.info("find: update %d, reward %.4g, %s", position, float(rewards.mean()), figures)
        return policy.draw(batch.source.float()[None])[0].to(batch.source.dtype)

    def _advantages(self, rewards: "Tensor", values: "Values | None") -> "Tensor":
        """rewards and advantages: (rollouts, B)."""
        if values is not None:
            return values.calibrate(rewards)
        if self.config.calibration == "leave_one_out":
            num = len(rewards)
            return rewards - (rewards.sum(0) - rewards) / (num - 1)
        return rewards


def build(config: Config, tools: "MethodTools") -> Find:
    """Raises `ConfigError` when the run does not have the scorer, or it only reports."""
    return Find(config, tools.selector("scorer", config.scorer))
