"""What every loss of a denoiser is: what is drawn for a batch, and the error of each image."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from goldennoise.diffusion.conditioning import Conditioning
from goldennoise.diffusion.families.latent_unet import LatentUNet
from goldennoise.training.denoiser.options import ModelTraining


class Levels(NamedTuple):
    """Noise levels of a batch, each (B,): real-valued or whole timesteps, alpha-bar, weight of the error."""

    timesteps: Tensor
    alpha_bars: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Draw:
    """What is random about a batch, the same whichever noise levels are drawn.

    rows: (B,) of the latents. noise: (B, C, h, w). timesteps: (B,) from 0 to T - 1. dropped: (B,) whose caption is.
    """

    rows: Tensor
    noise: Tensor
    timesteps: Tensor
    dropped: Tensor


class LatentBatch(NamedTuple):
    """One process's part of a global batch of `num_global` images.

    clean, noise: (B, C, h, w). levels: each (B,). token_ids: of each tokenizer, (B, tokens), those of the empty prompt
    where the caption is dropped. dropped: (B,).
    """

    clean: Tensor
    noise: Tensor
    levels: Levels
    token_ids: tuple[Tensor, ...]
    dropped: Tensor
    num_global: int

    def to(self, device: torch.device) -> "LatentBatch":
        """Everything on `device`."""
        move = [part.to(device, non_blocking=True) for part in (self.clean, self.noise, self.dropped)]
        levels = Levels(*(part.to(device, non_blocking=True) for part in self.levels))
        token_ids = tuple(part.to(device, non_blocking=True) for part in self.token_ids)
        return LatentBatch(move[0], move[1], levels, token_ids, move[2], self.num_global)


Averaged = Callable[[], AbstractContextManager[None]]
"""What `DenoiserTraining.averaged` is."""


class DenoiserLoss(ABC):
    """The error of a UNet on noised latents.

    alpha_bars: of the timesteps of training, float32 (T,).
    """

    def __init__(self, alpha_bars: Tensor, options: ModelTraining) -> None:
        self.alpha_bars, self.options = alpha_bars, options

    @abstractmethod
    def draw(self, generator: Generator, num: int, num_rows: int, shape: tuple[int, ...]) -> tuple[Draw, Levels]:
        """A batch of `num` of `num_rows` latents of this shape."""

    @abstractmethod
    def losses(self, model: LatentUNet, told: Conditioning, batch: LatentBatch, averaged: Averaged) -> Tensor:
        """(B,) what training makes small, with gradients. model: in training. told: the captions of the batch.

        averaged: inside, the model has the moving average of its weights; to be left before the gradients begin.
        """

    @abstractmethod
    def validation_errors(self, model: LatentUNet, told: Conditioning, batch: LatentBatch) -> Tensor:
        """(B,) errors on held-out images at one timestep."""

    @abstractmethod
    def validation_timesteps(self, num: int) -> list[int]:
        """At most `num` rising timesteps of the training schedule, evenly spaced."""

    def noised(self, clean: Tensor, noise: Tensor, alpha_bars: Tensor) -> Tensor:
        """Latents (B, C, h, w) at alpha-bar (B,)."""
        signal = of_row(alpha_bars)
        return signal.sqrt() * clean + (1 - signal).sqrt() * noise


def of_row(numbers: Tensor) -> Tensor:
    """(B, 1, 1, 1) of numbers (B,), to multiply latents by."""
    return numbers.view(-1, 1, 1, 1)
