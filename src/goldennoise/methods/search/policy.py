"""The policy that FIND trains, one Gaussian over noise per sample, and its clipped updates (arXiv 2407.19453)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from goldennoise.methods.protocol import SampleBatch
from goldennoise.runtime.seeding import seeded

MIN_SIGMA = 1e-4
VALUE_WIDTH = 256
MAX_LOG_RATIO = 20.0
"""A log-ratio is a sum over all latents: at SDXL's size one step takes it past what float32 can raise e to."""


class NoisePolicy:
    """N(mu, diag(sigma^2)) for every sample; starts as the standard normal distribution."""

    def __init__(self, shape: Sequence[int], device: torch.device, parameter: str = "log_sigma") -> None:
        """shape: (B, C, h, w). parameter: what is learnt beside mu, log_sigma or sigma itself."""
        self.mu = torch.zeros(*shape, device=device, requires_grad=True)
        self.learns_sigma = parameter == "sigma"
        self.spread = torch.full(tuple(shape), float(self.learns_sigma), device=device, requires_grad=True)

    @property
    def log_sigma(self) -> Tensor:
        return self.spread.log() if self.learns_sigma else self.spread

    @property
    def sigma(self) -> Tensor:
        return self._bounded_log_sigma().exp()

    def _bounded_log_sigma(self) -> Tensor:
        # A sigma that is learnt itself is bounded after every step, where a clamp here would end its gradient for good.
        return self.log_sigma if self.learns_sigma else self.log_sigma.clamp(min=math.log(MIN_SIGMA))

    @torch.no_grad()
    def bound_sigma(self) -> None:
        """After a step: a sigma that is learnt itself is brought back to its floor."""
        if self.learns_sigma:
            self.spread.clamp_(min=MIN_SIGMA)

    @torch.no_grad()
    def draw(self, fresh: Tensor) -> Tensor:
        """Actions (K, B, C, h, w) from standard normal noise of that shape."""
        return self.mu + self.sigma * fresh

    def log_prob(self, noise: Tensor) -> Tensor:
        """(K, B) log-densities of noise (K, B, C, h, w), summed over the dimensions of a sample."""
        log_sigma = self._bounded_log_sigma()
        density = -0.5 * ((noise - self.mu) / log_sigma.exp()).square() - log_sigma - 0.5 * math.log(2 * math.pi)
        return density.flatten(2).sum(dim=2)

    def divergence(self) -> Tensor:
        """(B,) KL(N(mu, sigma^2) || N(0, I)) per dimension."""
        sigma = self.sigma
        return (0.5 * (self.mu.square() + sigma.square() - 1) - sigma.log()).flatten(1).mean(dim=1)

    def moments(self) -> Tensor:
        """(B,) mu^2 + (sigma - 1)^2 per dimension, which the published code calls a KL divergence."""
        return (self.mu.square() + (self.sigma - 1).square()).flatten(1).mean(dim=1)


class PolicyUpdate:
    """AdamW on the clipped surrogate (Schulman et al. 2017, eq. 7); samples do not meet in it.

    Log-probability and regulariser are both sums over a sample's dimensions: their weights have the ratio that they
    have where both are means. regulariser: "kl" or "moments". surrogate: see `surrogate`. momentum: AdamW's beta1; one
    above 0 carries the policy on after the clip has stopped it.
    """

    def __init__(
        self,
        policy: NoisePolicy,
        *,
        learning_rate: float,
        num_epochs: int,
        ratio_clip: float | None,
        policy_weight: float,
        kl_weight: float,
        surrogate: str = "min",
        regulariser: str = "kl",
        momentum: float = 0.0,
    ) -> None:
        self.policy = policy
        self.num_epochs = num_epochs
        self.ratio_clip = ratio_clip
        self.policy_weight = policy_weight
        self.kl_weight = kl_weight
        self.surrogate = surrogate
        self.penalty = policy.moments if regulariser == "moments" else policy.divergence
        self.optimizer = torch.optim.AdamW(
            [policy.mu, policy.spread], lr=learning_rate, betas=(momentum, 0.999), weight_decay=0.0
        )

    def __call__(self, noise: Tensor, advantages: Tensor) -> dict[str, float]:
        """Learn from rollouts (K, B, C, h, w) that the policy has just drawn, and their advantages (K, B).

        Returns means over samples: ratio, KL per dimension, |mu| and sigma.
        """
        policy = self.policy
        drawn = policy.log_prob(noise).detach()
        with torch.enable_grad():
            for _ in range(self.num_epochs):
                gain = surrogate(policy.log_prob(noise), drawn, advantages, self.ratio_clip, self.surrogate)
                penalty = self.penalty() * policy.mu[0].numel()
                loss = (self.kl_weight * penalty - self.policy_weight * gain).sum()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                policy.bound_sigma()
        with torch.no_grad():
            return {
                "ratio": float(_ratio(policy.log_prob(noise), drawn).mean()),
                "kl": float(policy.divergence().mean()),
                "abs_mu": float(policy.mu.abs().mean()),
                "sigma": float(policy.sigma.mean()),
            }


def surrogate(
    log_prob: Tensor, drawn: Tensor, advantages: Tensor, ratio_clip: float | None, kind: str = "min"
) -> Tensor:
    """(B,) what the policy gains on rollouts drawn with log-density `drawn`; tensors (K, B).

    kind: "min", the smaller of the gains by the ratio and by the clipped ratio; "clamp", by the clipped ratio alone,
    which also ends steps back from a ratio outside its bounds. Without a clip it is REINFORCE's log-density times
    advantage.
    """
    if ratio_clip is None:
        return (log_prob * advantages).mean(dim=0)
    ratio = _ratio(log_prob, drawn)
    limited = ratio.clamp(1 - ratio_clip, 1 + ratio_clip) * advantages
    return (limited if kind == "clamp" else torch.minimum(ratio * advantages, limited)).mean(dim=0)


def _ratio(log_prob: Tensor, drawn: Tensor) -> Tensor:
    return (log_prob - drawn).clamp(max=MAX_LOG_RATIO).exp()


class Values:
    """The expected reward of each sample's policy, one small network per sample so that samples do not meet."""

    def __init__(self, policy: NoisePolicy, batch: SampleBatch, learning_rate: float) -> None:
        self.policy = policy
        self.text = batch.embedding.cond.float().mean(dim=1)
        width = 2 * batch.source[0].numel() + self.text.shape[1]
        seeds = batch.derived_seeds("find/value")
        self.networks = [_value_network(width, seed).to(batch.source.device) for seed in seeds]
        parameters = [parameter for network in self.networks for parameter in network.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=learning_rate)
        self.offset: Tensor | None = None

    def calibrate(self, rewards: Tensor) -> Tensor:
        """Rewards (K, B) minus their expected value before these rollouts; then learns from them.

        The value is regressed on the reward's distance from the first batch's mean, whose unit it cannot know.
        """
        if self.offset is None:
            self.offset = rewards.mean(dim=0)
        inputs = self._inputs()
        with torch.enable_grad():
            expected = torch.cat([network(row) for network, row in zip(self.networks, inputs, strict=True)])
            target = (rewards - self.offset).mean(dim=0)
            self.optimizer.zero_grad()
            (expected - target).square().sum().backward()
            self.optimizer.step()
        return rewards - self.offset - expected.detach()

    def _inputs(self) -> Tensor:
        with torch.no_grad():
            parts = [self.policy.mu.flatten(1), self.policy.sigma.flatten(1), self.text]
            return torch.cat(parts, dim=1)


def _value_network(width: int, seed: int) -> nn.Sequential:
    with seeded(seed):
        return nn.Sequential(
            nn.Linear(width, VALUE_WIDTH), nn.ReLU(), nn.Linear(VALUE_WIDTH, VALUE_WIDTH), nn.ReLU(),
            nn.Linear(VALUE_WIDTH, VALUE_WIDTH), nn.ReLU(), nn.Linear(VALUE_WIDTH, 1), nn.Flatten(0),
        )  # fmt: skip
