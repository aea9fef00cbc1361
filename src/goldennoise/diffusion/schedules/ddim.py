"""Deterministic DDIM steps in both directions (Song et al. 2021, eq. 12 with eta 0) on a diffusers noise schedule."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from goldennoise.diffusion.noise_levels.table import ALMOST_NOISE, timesteps_of
from goldennoise.diffusion.schedules.fixed import karras, quantiles, resampled
from goldennoise.diffusion.schedules.schedulers import require_betas
from goldennoise.errors import ModelError, require

NOT_ALIGNED = "Align Your Steps published timesteps for Stable Diffusion and SDXL alone"
PREDICTIONS = ("epsilon", "v_prediction")


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """The dtype to step and guide in: half precision loses more in a step than a weak guidance moves."""
    return torch.promote_types(dtype, torch.float32)


def of_each_row(numbers: Sequence[float], latents: Tensor) -> Tensor:
    """One number for each of the latents (B, C, h, w), to multiply them by."""
    return latents.new_tensor(numbers).view(-1, 1, 1, 1)


def nothing_kept(position: int, level: str) -> ModelError:
    """What to raise where latents are to be noised again up to pure noise."""
    return ModelError(
        f"Position {position} of this model is pure noise ({level}): fresh noise in place of all that is there is "
        "just another sample, so use another method than one that noises latents again."
    )


class DdimSchedule:
    """The noise levels of a scheduler's config: alpha-bar, timesteps, and exact moves between two of them.

    Position i of a schedule of n steps is its timestep t_i, position n the end of sampling, as in diffusers' DDIM.
    """

    def __init__(self, config: Any, aligned_timesteps: Sequence[int] | None = None) -> None:
        """config: of a diffusers scheduler. aligned_timesteps: that Align Your Steps found, None if it found none.

        Raises `ModelError` unless the config has betas and predicts epsilon or v.
        """
        require_betas(config)
        # Clipping x_0 to an image's range is meant for pixels; on latents it would make a step irreversible.
        self._scheduler: Any = DDIMScheduler.from_config(config, clip_sample=False, thresholding=False)
        self._prediction = self._scheduler.config.prediction_type
        if self._prediction not in PREDICTIONS:
            raise ModelError(
                f"The model predicts {self._prediction}, but only {' and '.join(PREDICTIONS)} are supported."
            )
        self._alpha_bars = self._scheduler.alphas_cumprod.double().tolist()
        self._aligned_timesteps = aligned_timesteps

    def timesteps(self, num_steps: int) -> list[int]:
        """t_0 > t_1 > ... of a schedule of `num_steps`. Raises `ConfigError` if the training schedule has too few."""
        num_train = len(self._alpha_bars)
        allowed = (
            f"between 1 and {num_train - 1}, or fewer where the scheduler's offset leads past timestep {num_train - 1}"
        )
        require(1 <= num_steps <= num_train, "num_steps", num_steps, allowed)
        self._scheduler.set_timesteps(num_steps)
        timesteps = [int(timestep) for timestep in self._scheduler.timesteps]
        require(timesteps[0] < num_train, "num_steps", num_steps, allowed)
        return timesteps

    def timestep(self, position: int, num_steps: int, latents: Tensor) -> int:  # noqa: ARG002
        """What the network is told at a position, whatever the latents."""
        return self.timesteps(num_steps)[position]

    def start(self, scheduler: Any, noise: Tensor, num_steps: int, timesteps: Sequence[int] | None = None) -> Tensor:
        """Make a scheduler on this schedule ready; the latents it begins with, from noise of unit scale.

        timesteps: to step through, None for the scheduler's own. Raises `ConfigError` for more than training had,
        `ModelError` where the first is pure noise and the model predicts noise.
        """
        self.timesteps(num_steps)  # raises where the scheduler would fail with a traceback
        num_train = len(self._alpha_bars)
        if timesteps is not None:
            require(timesteps[0] < num_train, "timesteps", list(timesteps), f"below {num_train}, the steps of training")
            scheduler.set_timesteps(timesteps=list(timesteps), device=noise.device)
        else:
            # LCM's chooses among the steps it was distilled in; a config made from its own keeps their number.
            name = type(scheduler).__name__
            most = scheduler.config.original_inference_steps if name == "LCMScheduler" else num_train
            require(num_steps <= most, "num_steps", num_steps, f"at most {most} for a {name}")
            scheduler.set_timesteps(num_steps, device=noise.device)
        if self._prediction == "epsilon" and self._alpha_bars[first := int(scheduler.timesteps[0])] == 0:
            raise _says_nothing(first)
        return noise * scheduler.init_noise_sigma

    def network_input(self, scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
        """The scheduler's latents in the scale that the network takes."""
        return scheduler.scale_model_input(latents, timestep)

    def alpha_bar(self, position: int, num_steps: int) -> float:
        """Cumulative product at a position from 0 to `num_steps`."""
        require(0 <= position <= num_steps, "position", position, f"between 0 and num_steps={num_steps}")
        timesteps = self.timesteps(num_steps)
        if position < num_steps:
            return self._alpha_bars[timesteps[position]]
        last = timesteps[-1] - len(self._alpha_bars) // num_steps
        return self._alpha_bars[last] if last >= 0 else float(self._scheduler.final_alpha_cumprod)

    def alpha_bar_of(self, timestep: float) -> float:
        """Cumulative product at a timestep, a real number at least 0; see `_alpha_bars_at`."""
        return self._alpha_bars_at(torch.tensor([(timestep + 1) / len(self._alpha_bars)], dtype=torch.float64))[0]

    def predicts_image(self, position: int, num_steps: int) -> bool:
        """Whether a prediction is of x_0: where alpha-bar is 0 the noise is the latents and says nothing of it."""
        return self._prediction == "v_prediction" and self.alpha_bar(position, num_steps) == 0

    def move(self, latents: Tensor, prediction: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        """Latents (B, C, h, w) at position `end` from those at `start`, along a predicted noise of the same shape.

        From and to pure noise (alpha-bar 0) along a predicted image. Raises `ModelError` where the model predicts no
        image there.
        """
        here, there = self.alpha_bar(start, num_steps), self.alpha_bar(end, num_steps)
        wide = at_least_float32(latents.dtype)
        point, direction = latents.to(wide), prediction.to(wide)
        if 0 in (here, there):
            self._check_pure_noise(start, end, num_steps)
        if there == 0 < here:
            # What the image leaves of the latents is noise.
            return ((point - here**0.5 * direction) / (1 - here) ** 0.5).to(latents.dtype)
        scale, share = _step(here, there)
        return (scale * point + share * direction).to(latents.dtype)

    def levels(self, num_steps: int, latents: Tensor, spacing: str = "uniform") -> list[float]:  # noqa: ARG002
        """The levels (t + 1) / T of a schedule, and the end, 0; whatever the latents."""
        num_train, timesteps = len(self._alpha_bars), self.timesteps(num_steps)
        if spacing == "trailing":
            return [round(num_train * (num_steps - i) / num_steps) / num_train for i in range(num_steps)] + [0.0]
        if spacing == "uniform":
            return self.levels_of(timesteps)
        log_sigmas = [-_log_snr(alpha_bar) / 2 for alpha_bar in self._alpha_bars]
        if spacing == "karras":
            sigmas = karras(math.exp(log_sigmas[-1]), math.exp(log_sigmas[0]), num_steps)
        else:
            found = self._aligned_timesteps
            require(found is not None, "spacing", spacing, f"uniform, trailing or karras: {NOT_ALIGNED}")
            sigmas = resampled([math.exp(log_sigmas[timestep]) for timestep in (*(found or ()), 0)], num_steps)
        # The last of them is the noise level of the end.
        return self.levels_of(np.interp(np.log(sigmas[:-1]), log_sigmas, np.arange(num_train)).tolist())

    def levels_of(self, timesteps: Sequence[float]) -> list[float]:
        """The levels of falling timesteps, and the end. Raises `ConfigError` for more than training had."""
        num_train = len(self._alpha_bars)
        require(timesteps[0] < num_train, "timesteps", list(timesteps), f"below {num_train}, the steps of training")
        return [*((timestep + 1) / num_train for timestep in timesteps), 0.0]

    def levels_by(self, density: Any, num_steps: int) -> list[float]:
        """The levels at the quantiles of a density of log SNR, and the end; see `fixed.quantiles`."""
        alpha_bars = np.array(self._alpha_bars)
        return self.levels_of(timesteps_of(quantiles(density, alpha_bars, num_steps), alpha_bars).tolist())

    def timesteps_at(self, level: Tensor) -> list[float]:
        """What the network is told at levels (B,) above 0: real numbers, at least 0."""
        # Rounded, so that what was a timestep is the same one again.
        return [max(round(each * len(self._alpha_bars) - 1, 6), 0.0) for each in level.tolist()]

    def move_to(self, latents: Tensor, prediction: Tensor, here: Tensor, there: Tensor) -> Tensor:
        """Latents (B, C, h, w) at levels `there` (B,) from those at `here`, above them; see `move`."""
        alpha_bars = list(zip(self._alpha_bars_at(here), self._alpha_bars_at(there), strict=True))
        if self._prediction == "epsilon" and any(start == 0 for start, _ in alpha_bars):
            raise _says_nothing(len(self._alpha_bars) - 1)
        wide = at_least_float32(latents.dtype)
        scales, shares = zip(*(_step(*pair) for pair in alpha_bars), strict=True)
        point, direction = latents.to(wide), prediction.to(wide)
        return (of_each_row(scales, point) * point + of_each_row(shares, point) * direction).to(latents.dtype)

    def to_prediction_at(self, output: Tensor, latents: Tensor, level: Tensor) -> Tensor:
        """As `to_prediction`, at levels (B,)."""
        if self._prediction == "epsilon":
            return output
        alpha_bars = self._alpha_bars_at(level)
        outward = of_each_row([alpha_bar**0.5 or -1.0 for alpha_bar in alpha_bars], latents)
        along = of_each_row([(1 - alpha_bar) ** 0.5 if alpha_bar else 0.0 for alpha_bar in alpha_bars], latents)
        return outward * output + along * latents

    def _alpha_bars_at(self, level: Tensor) -> list[float]:
        """Between two timesteps log(alpha-bar / (1 - alpha-bar)) is linear in time, up to `ALMOST_NOISE`."""
        found = []
        for each, timestep in zip(level.tolist(), self.timesteps_at(level), strict=True):
            before, part = int(timestep), timestep % 1
            alpha_bar = self._alpha_bars[before]
            if part:
                log_snr, next_log_snr = map(_log_snr, self._alpha_bars[before : before + 2])
                alpha_bar = 1 / (1 + math.exp(-(log_snr + part * (next_log_snr - log_snr))))
            found.append(alpha_bar if each else float(self._scheduler.final_alpha_cumprod))
        return found

    def diffuse(self, latents: Tensor, noise: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        """Latents (B, C, h, w) at the noisier position `end` <= `start`, by the forward process with fresh noise.

        x_end = sqrt(a_end / a_start) x_start + sqrt(1 - a_end / a_start) noise (Ho et al. 2020, eq. 2).
        Raises `ModelError` where `end` is pure noise, which keeps nothing of `latents`.
        """
        if self.alpha_bar(end, num_steps) == 0:
            raise nothing_kept(end, "alpha-bar 0")
        kept = self.alpha_bar(end, num_steps) / self.alpha_bar(start, num_steps)
        wide = at_least_float32(latents.dtype)
        return (kept**0.5 * latents.to(wide) + (1 - kept) ** 0.5 * noise.to(wide)).to(latents.dtype)

    def to_prediction(self, output: Tensor, latents: Tensor, timestep: float) -> Tensor:
        """The model's output as predicted noise; for v: sqrt(alpha_bar) v + sqrt(1 - alpha_bar) x, or x_0 = -v at 0."""
        if self._prediction == "epsilon":
            return output
        alpha_bar = self._alpha_bars[int(timestep)]
        return -output if alpha_bar == 0 else alpha_bar**0.5 * output + (1 - alpha_bar) ** 0.5 * latents

    def clean(self, output: Tensor, latents: Tensor, timestep: float) -> Tensor:
        """The clean latents (B, C, h, w) that an output of the network at `latents` predicts, up to noise level 0."""
        scale, share = _step(self.alpha_bar_of(float(timestep)), 1.0)
        return scale * latents + share * self.to_prediction(output, latents, timestep)

    def _check_pure_noise(self, start: int, end: int, num_steps: int) -> None:
        position = min(start, end)
        if not self.predicts_image(position, num_steps):
            raise _says_nothing(self.timesteps(num_steps)[position])
        if self.alpha_bar(start, num_steps) == 1:
            raise ModelError(
                f"No noise is left at position {start} of {num_steps} (alpha-bar 1), from where nothing leads back to "
                "pure noise: take more steps, or go less deep."
            )


def _says_nothing(timestep: int) -> ModelError:
    return ModelError(
        f"Timestep {timestep} of this model is pure noise (alpha-bar 0), where the noise it predicts says nothing of "
        "the image: use a model that predicts v, or timestep_spacing=leading."
    )


def _step(here: float, there: float) -> tuple[float, float]:
    """Factors of the latents and of the prediction in a step from one alpha-bar to another.

    At alpha-bar 0 the latents are noise and the prediction is the image, elsewhere the prediction is the noise.
    """
    if here == 0:
        return (1 - there) ** 0.5, there**0.5
    # In float64, not by a detour through x_0: where alpha-bar is small that would lose digits.
    scale = (there / here) ** 0.5
    return scale, (1 - there) ** 0.5 - scale * (1 - here) ** 0.5


def _log_snr(alpha_bar: float) -> float:
    """That of `ALMOST_NOISE` for pure noise, whose own is minus infinity."""
    signal = alpha_bar or ALMOST_NOISE
    return math.log(signal / (1 - signal))
