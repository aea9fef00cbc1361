"""Choosing noises by a scorer, as all searching methods do."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel, PromptEmbedding
from goldennoise.errors import ScorerError
from goldennoise.scorers.protocol import Scorer

if TYPE_CHECKING:
    from goldennoise.methods.protocol import SampleBatch


class Selector:
    """A scorer whose larger scores are better, whatever its own direction, and always finite."""

    def __init__(self, scorer: Scorer) -> None:
        self.name = scorer.name
        self.differentiable = scorer.differentiable
        self._scorer = scorer

    def of_images(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Scores (B,) of images (B, 3, height, width) in [0, 1]. Raises `ScorerError` for a score of nan or inf."""
        scores = self._scorer.score(images, prompts)
        for prompt, score in zip(prompts, scores.tolist(), strict=True):
            # A comparison with a score that is no number is false, which would quietly keep whatever came before.
            if not abs(score) < float("inf"):
                raise ScorerError(
                    f'{self.name} gives {score} for an image of "{prompt.text}", so it cannot be compared: '
                    "choose another scorer, or check that the model gives finite images."
                )
        return scores if self._scorer.higher_is_better else -scores

    @torch.no_grad()
    def of_noise(self, model: DiffusionModel, noise: Tensor, batch: "SampleBatch") -> Tensor:
        """Scores (B,) of the images that the model samples from `noise` (B, C, h, w) for the samples of a batch."""
        latents = model.sample(SamplingPlan(noise), batch.embedding, batch.step_seeds)
        return self.of_images(model.decode(latents), batch.prompts).to(noise.device)

    @torch.no_grad()
    def of_preview(self, model: DiffusionModel, noise: Tensor, batch: "SampleBatch", num_steps: int) -> Tensor:
        """Scores (B,) of the images that the model's sampler predicts after `num_steps` steps from `noise`."""
        previews = model.previews(noise, batch.embedding, batch.step_seeds)
        latents = next(itertools.islice(previews, num_steps - 1, None))
        return self.of_images(model.decode(latents), batch.prompts).to(noise.device)

    def through(
        self,
        model: DiffusionModel,
        noise: Tensor,
        embedding: PromptEmbedding,
        prompts: Sequence[Prompt],
        num_steps: int | None,
        guidance: float | None = None,
        step_seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """Scores (B,) of the images of `noise`, differentiable with respect to it where gradients are enabled.

        num_steps, guidance: of the sampling that the gradient goes through, None for the model's own. A stochastic
        sampler takes its own steps, which draw from step_seeds; for all others the steps are those of DDIM. With
        `ddim` or a stochastic sampler as the model's own the images are those that `of_noise` scores, up to rounding.
        """
        if model.is_stochastic:
            latents = model.sample(SamplingPlan(noise, guidance, num_steps), embedding, step_seeds)
        else:
            scale = model.guidance if guidance is None else guidance
            latents = _ddim_sample(model, noise, embedding, num_steps or model.num_steps, scale)
        images = checkpoint(model.decode, latents, use_reentrant=False)
        return self.of_images(images, prompts).to(noise.device)


def _ddim_sample(
    model: DiffusionModel, noise: Tensor, embedding: PromptEmbedding, num_steps: int, guidance: float
) -> Tensor:
    """Latents (B, C, h, w) at the end of plain steps (DDIM, or along a flow), computed again on the way back."""

    def step(latents: Tensor, position: int) -> Tensor:
        prediction = model.predict(latents, position, embedding, guidance, num_steps)
        return model.move(latents, prediction, position, position + 1, num_steps)

    latents = noise
    for position in range(num_steps):
        latents = checkpoint(step, latents, position, use_reentrant=False)
    return latents


def better_of(noise: Tensor, scores: Tensor, other: Tensor, other_scores: Tensor) -> tuple[Tensor, Tensor]:
    """Row by row the noise (B, C, h, w) of the larger score (B,), `noise` where they are equal; and its score."""
    better = other_scores > scores
    return torch.where(better.view(-1, 1, 1, 1), other, noise), torch.where(better, other_scores, scores)
