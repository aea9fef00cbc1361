"""The steps of a pipeline's own sampler, and the image that each of them predicts."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from goldennoise.diffusion.sampling import step_draws
from goldennoise.diffusion.schedules.ddim import at_least_float32

if TYPE_CHECKING:
    from goldennoise.diffusion.protocol import PromptEmbedding


@dataclass(frozen=True)
class Taken:
    """A pass of the denoiser and the step along it, tensors (B, C, h, w).

    given, output: of the network, at `timestep`. latents: after the step, at least float32.
    """

    given: Tensor
    output: Tensor
    timestep: Any
    latents: Tensor
    is_last: bool


class LatentPreviews:
    """Of a pipeline: its sampler step by step."""

    num_steps: int
    guidance: float
    _pipe: Any
    _schedule: Any
    _timesteps: Sequence[int] | None

    @property
    def is_stochastic(self) -> bool:
        raise NotImplementedError

    def previews(
        self, noise: Tensor, embedding: "PromptEmbedding", step_seeds: Sequence[int] | None = None
    ) -> Iterator[Tensor]:
        """See `DiffusionModel.previews`."""
        for step in self._steps(noise, embedding, self.num_steps, self.guidance, step_seeds):
            clean = step.latents if step.is_last else self._schedule.clean(step.output, step.given, step.timestep)
            yield clean.to(noise.dtype)

    def _steps(
        self,
        noise: Tensor,
        embedding: "PromptEmbedding",
        num_steps: int,
        guidance: float,
        step_seeds: Sequence[int] | None,
    ) -> Iterator[Taken]:
        """A pass runs when the iterator reaches it. With gradients enabled the backward pass runs it again."""
        # Here and not before: golden noise is also made for pipelines that sample on their own.
        draws = step_draws(self._pipe.scheduler, step_seeds, len(noise)) if self.is_stochastic else {}
        scheduler, latents = self._begun(noise, num_steps)
        denoise = partial(checkpoint, self._guided, use_reentrant=False) if torch.is_grad_enabled() else self._guided
        for place, timestep in enumerate(scheduler.timesteps, start=1):
            scaled = self._schedule.network_input(scheduler, latents, timestep)
            output = denoise(scaled, timestep, embedding, guidance)
            latents = scheduler.step(output, timestep, latents, return_dict=False, **draws)[0]
            yield Taken(scaled, output, timestep, latents, place == len(scheduler.timesteps))

    def _begun(self, noise: Tensor, num_steps: int) -> tuple[Any, Tensor]:
        """A scheduler made ready, and its latents; a copy, since the pipeline may be sampling with its own."""
        scheduler, wide = copy.deepcopy(self._pipe.scheduler), noise.to(at_least_float32(noise.dtype))
        timesteps = self._timesteps if self._timesteps and num_steps == len(self._timesteps) else None
        return scheduler, self._schedule.start(scheduler, wide, num_steps, timesteps)

    def _guided(
        self, latents: Tensor, timestep: float | Tensor, embedding: "PromptEmbedding", guidance: float
    ) -> Tensor:
        raise NotImplementedError
