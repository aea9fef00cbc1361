"""What a denoiser is trained for: the noise levels that are drawn, what it predicts, and the weight of its error."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from goldennoise.diffusion import noise_levels
from goldennoise.diffusion.conditioning import Conditioning
from goldennoise.diffusion.families.latent_unet import LatentUNet
from goldennoise.diffusion.noise_levels.base import NoiseLevels
from goldennoise.diffusion.noise_levels.table import ALMOST_NOISE, log_snr_range, log_snrs, timesteps_of
from goldennoise.diffusion.noise_levels.truncation import truncated
from goldennoise.errors import ConfigError
from goldennoise.training.denoiser.base import Averaged, DenoiserLoss, Draw, LatentBatch, Levels, of_row
from goldennoise.training.denoiser.options import DenoiserOptions


class NoiseLevelLoss(DenoiserLoss):
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
        super().__init__(alpha_bars, options)
        self.options: DenoiserOptions = options
        self.prediction = prediction
        self.is_uniform = levels.kind == "uniform"
        self._table = alpha_bars.double().numpy()
        self._levels, self._meant = self._inside(levels), None
        if options.loss_levels is not None:
            others = dict(options.loss_levels)
            self._meant = self._inside(noise_levels.configured(others.pop("kind"), others))
        elif options.weighting == "keep":
            self._meant = self._inside(noise_levels.component("uniform").Config())

    def draw(self, generator: Generator, num: int, num_rows: int, shape: tuple[int, ...]) -> tuple[Draw, Levels]:
        rows = torch.randint(num_rows, (num,), generator=generator)
        noise = torch.randn(num, *shape, generator=generator)
        timesteps = torch.randint(len(self.alpha_bars), (num,), generator=generator)
        dropped = torch.rand(num, generator=generator) < self.options.empty_prompt_share
        drawn = Draw(rows, noise, timesteps, dropped)
        return drawn, self._whole(timesteps) if self.is_uniform else self._between(timesteps, generator)

    def losses(self, model: LatentUNet, told: Conditioning, batch: LatentBatch, averaged: Averaged) -> Tensor:  # noqa: ARG002
        return batch.levels.weights * self._errors_of(model, told, batch)

    def validation_errors(self, model: LatentUNet, told: Conditioning, batch: LatentBatch) -> Tensor:
        """Squared error of the predicted noise, mean over dimensions."""
        return self.of_epsilon(self._errors_of(model, told, batch), batch.levels.alpha_bars)

    def validation_timesteps(self, num: int) -> list[int]:
        """The middle of each of `num` equal parts of the training schedule."""
        return ((np.arange(num) + 0.5) / num * len(self.alpha_bars)).astype(int).tolist()

    def _errors_of(self, model: LatentUNet, told: Conditioning, batch: LatentBatch) -> Tensor:
        levels = batch.levels
        output = model.output(self.noised(batch.clean, batch.noise, levels.alpha_bars), levels.timesteps, told)
        return self.errors(output, batch.clean, batch.noise, levels.alpha_bars)

    def errors(self, output: Tensor, clean: Tensor, noise: Tensor, alpha_bars: Tensor) -> Tensor:
        """(B,) squared errors of what the UNet predicts, mean over dimensions."""
        target = noise
        if self.prediction == "v_prediction":
            signal = of_row(alpha_bars)
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
