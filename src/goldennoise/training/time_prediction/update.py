"""An update of the policy: the clipped ratio of whole chains, over the features that were seen (arXiv 2412.01243)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from goldennoise.diffusion.schedules.learned import policy_at
from goldennoise.errors import ModelError
from goldennoise.networks.time_predictor.network import TimePredictor
from goldennoise.networks.time_predictor.policy import BetaPolicy
from goldennoise.training.time_prediction.options import TimePredictionOptions
from goldennoise.training.time_prediction.rollouts import Chains

CHAINS_AT_ONCE = 16
"""Whose steps go through the network together."""


@dataclass(frozen=True)
class Vitals:
    """Of an update: mean entropy of a step before it, and of the last epoch the mean divergence of a step from the
    policy of the chains, in nats, and the share of chains beyond the clip."""

    entropy: float
    divergence: float
    clip_fraction: float


def improve(
    network: TimePredictor,
    optimizer: Optimizer,
    chains: Chains,
    advantage: Tensor,
    options: TimePredictionOptions,
) -> Vitals:
    """`num_epochs` steps of the optimiser. advantage: (B,). Raises `ModelError` where a ratio is not finite."""
    parts = torch.arange(len(advantage)).split(CHAINS_AT_ONCE)
    with torch.no_grad():
        before = [_policy(network, chains, rows) for rows in parts]
        old = [_log_probs(policy, chains, rows) for policy, rows in zip(before, parts, strict=True)]
    entropy = torch.cat([policy.entropy for policy in before]).mean().item()
    divergences, clipped = [], 0
    for epoch in range(options.num_epochs):
        optimizer.zero_grad()
        for rows, earlier, policy_then in zip(parts, old, before, strict=True):
            policy = _policy(network, chains, rows)
            ratio = (_log_probs(policy, chains, rows) - earlier).exp()
            if not bool(ratio.isfinite().all()):
                raise ModelError(
                    "The policy moved so far in one update that the ratio of probabilities is not finite: lower "
                    "stage.learning_rate, or take fewer stage.num_epochs."
                )
            gain = advantage[rows].to(ratio)
            bounded = ratio.clamp(1 - options.clip, 1 + options.clip)
            loss = -torch.minimum(ratio * gain, bounded * gain).sum() / len(advantage)
            loss.backward()
            if epoch + 1 == options.num_epochs:
                divergences.append(policy_then.divergence(policy).detach())
                clipped += int((ratio != bounded).sum())
        nn.utils.clip_grad_norm_(network.parameters(), options.gradient_clip)
        optimizer.step()
    return Vitals(entropy, torch.cat(divergences).mean().item(), clipped / len(advantage))


def _policy(network: TimePredictor, chains: Chains, rows: Tensor) -> BetaPolicy:
    """Of the steps of some chains."""
    return policy_at(network, chains.features[_steps_of(chains, rows)])


def _log_probs(policy: BetaPolicy, chains: Chains, rows: Tensor) -> Tensor:
    """Log-probability (R,) of each of the chains `rows` (R,), the sum over its steps."""
    steps = _steps_of(chains, rows)
    each = policy.log_prob(chains.ratio[steps])
    place = torch.searchsorted(rows, chains.row[steps]).to(each.device)
    return torch.zeros(len(rows), device=each.device).index_add(0, place, each)


def _steps_of(chains: Chains, rows: Tensor) -> Tensor:
    return torch.isin(chains.row, rows).nonzero().flatten()
