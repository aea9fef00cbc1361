"""What a denoiser is trained for: the noise levels that are drawn, what it predicts, and the weight of its error."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from goldennoise.diffusion import noise_levels
from goldennoise.diffusion.noise_levels.base import NoiseLevels
from goldennoise.diffusion.noise_levels.table import ALMOST_NOISE, log_snr_range, log_snrs, timesteps_of
from goldennoise.diffusion.noise_levels.truncation import truncated
from goldennoise.errors import ConfigError
from goldennoise.training.denoiser.options import DenoiserOptions


class Levels(NamedTuple):
    """Noise levels of a batch, each (B,): real-valued or whole timesteps, alpha-bar, weight of the squared error."""

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


class NoiseLevelLoss:
    """Draws noise levels from a density of log SNR, and weights the squared errors of epsilon or v there.

    A draw begins with a whole timestep t. Uniform noise levels take it as it is. Of every other density, v uniform in
    [0, 1) from the same generator gives the share (t + v) / T of its mass, from its highest log SNR down, so runs of
    other densities see the same images, noises and captions, and noise levels of the same rank.
    """

    def __init__(self, alpha_bars: Tensor, prediction: str, levels: Any, options: DenoiserOptions) -> None:
        """alpha_bars: of the timesteps of training, float32 (T,). levels: Config of a density.

        Raises `ConfigError` for a density that hardly has a log SNR of these timesteps, and for a prediction or a loss
        weight that pure noise does not allow.
        """
        if alpha_bars[-1] <= ALMOST_NOISE:
            _refuse_at_pure_noise(prediction, options)
        self.alpha_bars, self.prediction, self.options = alpha_bars, prediction, options
        self.is_uniform = levels.kind == "uniform"
        self._table = alpha_bars.double().numpy()
        self._levels, self._meant = self._inside(levels), None
        if options.loss_levels is not None:
            others = dict(options.loss_levels)
            self._meant = self._inside(noise_levels.configured(others.pop("kind"), others))
        elif options.weighting == "keep":
            self._meant = self._inside(noise_levels.component("uniform").Config())

    def draw(self, generator: Generator, num: int, num_rows: int, shape: tuple[int, ...]) -> tuple[Draw, Levels]:
        """A batch of `num` of `num_rows` latents of this shape."""
        rows = torch.randint(num_rows, (num,), generator=generator)
        noise = torch.randn(num, *shape, generator=generator)
        timesteps = torch.randint(len(self.alpha_bars), (num,), generator=generator)
        dropped = torch.rand(num, generator=generator) < self.options.empty_prompt_share
        drawn = Draw(rows, noise, timesteps, dropped)
        return drawn, self._whole(timesteps) if self.is_uniform else self._between(timesteps, generator)

    def noised(self, clean: Tensor, noise: Tensor, alpha_bars: Tensor) -> Tensor:
        """Latents (B, C, h, w) at alpha-bar (B,)."""
        signal = alpha_bars.view(-1, 1, 1, 1)
        return signal.sqrt() * clean + (1 - signal).sqrt() * noise

    def errors(self, output: Tensor, clean: Tensor, noise: Tensor, alpha_bars: Tensor) -> Tensor:
        """(B,) squared errors of what the UNet predicts, mean over dimensions."""
        target = noise
        if self.prediction == "v_prediction":
            signal = alpha_bars.view(-1, 1, 1, 1)
            target = signal.sqrt() * noise - (1 - signal).sqrt() * clean
        return F.mse_loss(output.float(), target, reduction="none").mean(dim=(1, 2, 3))

    def of_epsilon(self, errors: Tensor, alpha_bars: Tensor) -> Tensor:
        """Errors (B,) as those of the predicted noise: that of v is its own over sqrt(alpha-bar)."""
        return errors if self.prediction == "epsilon" else errors * alpha_bars

    def _inside(self, levels: Any) -> NoiseLevels:
        """The density of a Config within the training schedule."""
        return truncated(noise_levels.built(levels, self._table), *log_snr_range(self._table))

    def _whole(self, timesteps: Tensor) -> Levels:
        alpha_bars = self.alpha_bars[timesteps]
        weights = torch.ones_like(alpha_bars)
        if self.options.loss_weight == "inverse_root_snr":
            weights = ((1 - alpha_bars) / alpha_bars).sqrt()
        if self.options.loss_levels is not None:
            weights = weights * self._meant_over_drawn(log_snrs(self._table)[timesteps.numpy()]).float()
        return Levels(timesteps, alpha_bars, weights)

    def _between(self, timesteps: Tensor, generator: Generator) -> Levels:
        share = (timesteps.double() + torch.rand(len(timesteps), generator=generator)) / len(self.alpha_bars)
        log_snr = self._levels.quantile(1 - share.numpy())
        weights = self._meant_over_drawn(log_snr)
        if self.options.loss_weight == "inverse_root_snr":
            weights *= torch.from_numpy(np.exp(-log_snr / 2))
        told = torch.from_numpy(timesteps_of(log_snr, self._table)), torch.from_numpy(1 / (1 + np.exp(-log_snr)))
        return Levels(*(numbers.float() for numbers in (*told, weights)))

    def _meant_over_drawn(self, log_snr: np.ndarray) -> Tensor:
        """(B,) by how much the density that is meant exceeds the one that is drawn from; 1 where they are the same."""
        if self._meant is None:
            return torch.ones(len(log_snr), dtype=torch.float64)
        return torch.from_numpy(self._meant.density(log_snr) / self._levels.density(log_snr))


def _refuse_at_pure_noise(prediction: str, options: DenoiserOptions) -> None:
    """Raise ConfigError for what the last timestep of a schedule with zero terminal SNR does not allow."""
    mended = {"prediction": "v_prediction"} if prediction == "epsilon" else {}
    mended |= {"loss_weight": "none"} if options.loss_weight != "none" else {}
    if mended:
        settings = " and ".join(f"stage.{name}={value}" for name, value in mended.items())
        raise ConfigError(f"This model was trained with zero terminal SNR, down to pure noise: set {settings}")
