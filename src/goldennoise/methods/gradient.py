"""Ascent of a differentiable scorer through the sampler (ReNO: Eyring et al., arXiv 2406.04312).

docs/science.md lists what differs from the published code (GitHub ExplainableML/ReNO).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.diffusion.base import GUIDANCE
from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.errors import ConfigError, ModelError
from goldennoise.methods.base import Method, SearchConfig
from goldennoise.store.options import NOT_NEGATIVE, POSITIVE, number, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.search.selector import Selector
    from goldennoise.methods.tools import MethodTools

DIFFERS = (
    "gradient follows ReNO (arXiv 2406.04312), which is for models of one step, and returns noise where ReNO returns "
    "the image that scored best; by default it takes fewer iterations and one scorer, and method=[reno] has the "
    "published settings."
)
MOMENTUM = 0.9
"""Nesterov's, as published."""


@dataclass(frozen=True)
class Config(SearchConfig):
    """The ascent, whose learning_rate, gradient_clip and norm_weight are ReNO's."""

    kind: str = "gradient"
    num_iterations: int = option(10, number(least=1))
    """Gradient steps, at least 1; one image more is scored."""
    num_steps: int | None = option(None, number(least=1))
    """Of the sampling that the gradient goes through, at least 1; null for the model's own."""
    guidance: float | None = option(None, GUIDANCE)
    """Of that sampling, above 0; null for the model's own. 1 is the prompt alone, in one pass, which diffusers calls 0.
    """
    learning_rate: float = option(5.0, POSITIVE)
    """Above 0."""
    gradient_clip: float | None = option(0.1, POSITIVE)
    """Largest L2 norm per sample, above 0; null for none."""
    norm_weight: float = option(0.01, NOT_NEGATIVE)
    """Times the log-density of the noise's norm, which keeps the noise on its sphere; at least 0."""

    def golden_evaluations(self, sampling: Sampling) -> Amount:
        """An iteration takes a pass, the same again on the way back, and that way, which counts as two."""
        return sampling.steps(self.num_steps, self.guidance) * (4 * self.num_iterations + 1)


class Gradient(Method):
    """Keeps the best of all iterates, the source among them, as scored through the steps that the gradient takes."""

    def __init__(self, config: Config, selector: "Selector") -> None:
        self.config = config
        self.selector = selector

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Raises `ScorerError` for a non-finite score, `ModelError` for a non-finite gradient."""
        import torch

        from goldennoise.methods.search.selector import better_of

        config = self.config
        noise = batch.source.float()
        velocity = torch.zeros_like(noise)
        best, best_scores = noise, torch.full((len(noise),), -math.inf, device=noise.device)
        for _ in range(config.num_iterations):
            scores, gradient = self.ascent(model, noise, batch)
            best, best_scores = better_of(best, best_scores, noise, scores)
            velocity = MOMENTUM * velocity + gradient
            noise = noise + config.learning_rate * (gradient + MOMENTUM * velocity)
        with torch.no_grad():
            scores = self._scores(model, noise, batch)
        best, _ = better_of(best, best_scores, noise, scores)
        return best.to(batch.source.dtype)

    def ascent(self, model: "DiffusionModel", noise: "Tensor", batch: "SampleBatch") -> tuple["Tensor", "Tensor"]:
        """Scores (B,) of noise (B, C, h, w), and the clipped gradient of score + norm_weight x log-density of the norm.

        A backward pass counts as two evaluations of the model, what checkpointing computes again as one.
        """
        import torch

        evaluations = model.num_evaluations
        with torch.enable_grad():
            leaf = noise.detach().requires_grad_(True)
            scores = self._scores(model, leaf, batch)
            forward = model.num_evaluations - evaluations
            objective = scores.sum() + self.config.norm_weight * log_density_of_norm(leaf).sum()
            (gradient,) = torch.autograd.grad(objective, leaf)
        model.num_evaluations += 2 * forward
        finite = torch.isfinite(gradient).flatten(1).all(dim=1).tolist()
        if not all(finite):
            prompt = batch.prompts[finite.index(False)]
            raise ModelError(
                f'the gradient of {self.selector.name} for "{prompt.text}" is not finite: lower learning_rate, '
                "take fewer num_steps, or run the model in float32"
            )
        return scores.detach(), clipped(gradient, self.config.gradient_clip)

    def _scores(self, model: "DiffusionModel", noise: "Tensor", batch: "SampleBatch") -> "Tensor":
        config = self.config
        steps = (config.num_steps, config.guidance, batch.step_seeds)
        return self.selector.through(model, noise, batch.embedding, batch.prompts, *steps)


def log_density_of_norm(noise: "Tensor") -> "Tensor":
    """(B,) log-density of the norms r under standard normal noise: (d - 1) log r - r^2 / 2 + const (ReNO, eq. 6)."""
    squares = noise.float().flatten(1).square().sum(dim=1)
    return (noise[0].numel() - 1) * 0.5 * squares.log() - 0.5 * squares


def clipped(gradient: "Tensor", limit: float | None) -> "Tensor":
    """The gradient (B, C, h, w), no row of it longer than `limit`."""
    if limit is None:
        return gradient
    norms = gradient.flatten(1).norm(dim=1).clamp(min=limit)
    return gradient * (limit / norms).view(-1, 1, 1, 1)


def build(config: Config, tools: "MethodTools") -> Gradient:
    """Raises `ConfigError` when the run does not have the scorer, it only reports, or it is not differentiable."""
    selector = tools.selector("scorer", config.scorer)
    if not selector.differentiable:
        raise ConfigError(
            f"scorer={config.scorer}: {config.scorer} is not differentiable, which gradient needs; choose another "
            "scorer, or zero_order or best_of_n, which need none"
        )
    return Gradient(config, selector)
