"""An update of the policy: the clipped ratio of whole chains, over the features that were seen (arXiv 2412.01243)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from goldennoise.diffusion.plan import Features
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


@dataclass(frozen=True)
class _Part:
    """Chains `rows` (R,) and their steps (S,): features, ratio, and place (S,), of the chain among the rows."""

    rows: Tensor
    features: Features
    ratio: Tensor
    place: Tensor

    def log_probs(self, policy: BetaPolicy) -> Tensor:
        """Log-probability (R,) of each chain, the sum over its steps. policy: at the steps."""
        each = policy.log_prob(self.ratio.to(policy.alpha.device))
        return torch.zeros(len(self.rows), device=each.device).index_add(0, self.place.to(each.device), each)


def improve(
    network: TimePredictor,
    optimizer: Optimizer,
    chains: Chains,
    advantage: Tensor,
    options: TimePredictionOptions,
) -> Vitals:
    """`num_epochs` steps of the optimiser. advantage: (B,). Raises `ModelError` where a ratio is not finite."""
    parts = [_of_chains(chains, rows) for rows in torch.arange(len(advantage)).split(CHAINS_AT_ONCE)]
    with torch.no_grad():
        before = [policy_at(network, part.features) for part in parts]
        old = [part.log_probs(policy) for policy, part in zip(before, parts, strict=True)]
    entropy = torch.cat([policy.entropy for policy in before]).mean().item()
    divergences, clipped = [], 0
    for epoch in range(options.num_epochs):
        optimizer.zero_grad()
        for part, earlier, policy_then in zip(parts, old, before, strict=True):
            policy = policy_at(network, part.features)
            ratio = (part.log_probs(policy) - earlier).exp()
            if not bool(ratio.isfinite().all()):
                raise ModelError(
                    "The policy moved so far in one update that the ratio of probabilities is not finite: lower "
                    "stage.learning_rate, or take fewer stage.num_epochs."
                )
            gain = advantage[part.rows].to(ratio)
            bounded = ratio.clamp(1 - options.clip, 1 + options.clip)
            loss = -torch.minimum(ratio * gain, bounded * gain).sum() / len(advantage)
            loss.backward()
            if epoch + 1 == options.num_epochs:
                divergences.append(policy_then.divergence(policy).detach())
                clipped += int((ratio != bounded).sum())
        nn.utils.clip_grad_norm_(network.parameters(), options.gradient_clip)
        optimizer.step()
    return Vitals(entropy, torch.cat(divergences).mean().item(), clipped / len(advantage))


def _of_chains(chains: Chains, rows: Tensor) -> _Part:
    """The steps of the chains `rows` (R,), rising."""
    kept = [(step, torch.isin(step.rows, rows).nonzero().flatten()) for step in chains.steps]
    found = [step.features[places] for step, places in kept]
    features = Features(*(torch.cat([getattr(each, name) for each in found]) for name in ("maps", "time")))
    ratio = torch.cat([step.ratio[places] for step, places in kept])
    return _Part(rows, features, ratio, torch.searchsorted(rows, torch.cat([step.rows[at] for step, at in kept])))
