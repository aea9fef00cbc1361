"""Straight steps in both directions on the schedule of a flow-matching model (Lipman et al. 2023, Liu et al. 2023)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from goldennoise.diffusion.schedules.ddim import NOT_ALIGNED, at_least_float32, nothing_kept, of_each_row
from goldennoise.diffusion.schedules.fixed import karras, quantiles
from goldennoise.diffusion.schedules.schedulers import make_flow_scheduler
from goldennoise.errors import require


class FlowSchedule:
    """The noise levels sigma of a scheduler, and exact moves between two of them: x = (1 - sigma) x_0 + sigma noise.

    Position i of a schedule of n steps is diffusers' sigma_i, position n the end of sampling, sigma 0. Where the
    scheduler shifts dynamically, a level depends on how many patches the latents at hand have. The network predicts
    the velocity noise - x_0, along which a step is straight.
    """

    def __init__(self, scheduler: Any, patch_size: int, uniform: bool = False) -> None:
        """scheduler: of the pipeline; patch_size: latents to a side of a patch.

        uniform: levels are n equal parts of [0, 1] before they are shifted, as FLUX has them, in place of those from
        the first to the last of training.
        """
        self._scheduler: Any = make_flow_scheduler("flow_euler", scheduler)
        self._patch_size = patch_size
        self._uniform = uniform

    def set_timesteps(self, scheduler: Any, num_steps: int, latents: Tensor, trailing: bool = False) -> None:
        """Make a flow-matching scheduler ready to sample latents (B, C, h, w), as the pipeline does.

        trailing: as for `uniform` of the schedule, whatever that is.
        """
        require(num_steps >= 1, "num_steps", num_steps, "at least 1")
        arguments: dict[str, Any] = {}
        config = scheduler.config
        if config.use_dynamic_shifting:
            height, width = (side // self._patch_size for side in latents.shape[-2:])
            slope = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
            arguments["mu"] = config.base_shift + slope * (height * width - config.base_image_seq_len)
        if self._uniform or trailing:
            arguments["sigmas"] = np.linspace(1.0, 1 / num_steps, num_steps)
        scheduler.set_timesteps(num_steps, device=latents.device, **arguments)

    def start(self, scheduler: Any, noise: Tensor, num_steps: int, timesteps: Sequence[int] | None = None) -> Tensor:  # noqa: ARG002
        """Latents at position 0 of a scheduler made ready: the noise itself."""
        self.set_timesteps(scheduler, num_steps, noise)
        return noise

    def network_input(self, scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:  # noqa: ARG002
        return latents

    def timestep(self, position: int, num_steps: int, latents: Tensor) -> float:
        """What the network is told at a position, for latents (B, C, h, w)."""
        self.set_timesteps(self._scheduler, num_steps, latents)
        return float(self._scheduler.timesteps[position])

    def sigma(self, position: int, num_steps: int, latents: Tensor) -> float:
        """Noise level at a position from 0 to `num_steps`, for latents (B, C, h, w)."""
        require(0 <= position <= num_steps, "position", position, f"between 0 and num_steps={num_steps}")
        self.set_timesteps(self._scheduler, num_steps, latents)
        return float(self._scheduler.sigmas[position])

    def alpha_bar_of(self, timestep: float) -> float:  # noqa: ARG002
        """A flow starts from pure noise, whatever the timestep of its first step."""
        return 0.0

    def predicts_image(self, position: int, num_steps: int) -> bool:  # noqa: ARG002
        """A velocity is noise and image in one, at every level."""
        return False

    def to_prediction(self, output: Tensor, latents: Tensor, timestep: float) -> Tensor:  # noqa: ARG002
        """The model's output is the velocity."""
        return output

    def clean(self, output: Tensor, latents: Tensor, timestep: float) -> Tensor:
        """The clean latents (B, C, h, w) at the end of the straight line from `latents` along the model's output."""
        return latents - float(timestep) / self._scheduler.config.num_train_timesteps * output

    def move(self, latents: Tensor, velocity: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        """Latents (B, C, h, w) at position `end` from those at `start`, along a velocity of the same shape."""
        distance = self.sigma(end, num_steps, latents) - self.sigma(start, num_steps, latents)
        wide = at_least_float32(latents.dtype)
        return (latents.to(wide) + distance * velocity.to(wide)).to(latents.dtype)

    def levels(self, num_steps: int, latents: Tensor, spacing: str = "uniform") -> list[float]:
        """The noise levels of a schedule for latents (B, C, h, w)."""
        require(spacing != "ays", "spacing", spacing, f"uniform, trailing or karras: {NOT_ALIGNED}")
        if spacing == "karras":
            return [*karras(1.0, self._scheduler.sigma_min, num_steps)[:-1], 0.0]
        self.set_timesteps(self._scheduler, num_steps, latents, trailing=spacing == "trailing")
        return self._scheduler.sigmas.tolist()

    def levels_of(self, timesteps: Sequence[float]) -> list[float]:
        """The noise levels of falling timesteps, and the end. Raises `ConfigError` for more than training had."""
        num_train = self._scheduler.config.num_train_timesteps
        require(timesteps[0] <= num_train, "timesteps", list(timesteps), f"at most {num_train}, the steps of training")
        require(timesteps[-1] > 0, "timesteps", list(timesteps), "above 0, where a flow ends")
        return [*(timestep / num_train for timestep in timesteps), 0.0]

    def levels_by(self, density: Any, num_steps: int) -> list[float]:
        """The sigmas at the quantiles of a density of log SNR, 2 log((1 - sigma) / sigma), and the end."""
        num_train = self._scheduler.config.num_train_timesteps
        sigmas = np.arange(1, num_train + 1) / num_train
        alpha_bars = (1 - sigmas) ** 2 / ((1 - sigmas) ** 2 + sigmas**2)
        return [*(1 / (1 + np.exp(quantiles(density, alpha_bars, num_steps) / 2))).tolist(), 0.0]

    def timesteps_at(self, level: Tensor) -> list[float]:
        """What the network is told at levels (B,)."""
        return (level * self._scheduler.config.num_train_timesteps).tolist()

    def move_to(self, latents: Tensor, velocity: Tensor, here: Tensor, there: Tensor) -> Tensor:
        """Latents (B, C, h, w) at levels `there` (B,) from those at `here`, along a velocity of the same shape."""
        point = latents.to(at_least_float32(latents.dtype))
        return (point + of_each_row((there - here).tolist(), point) * velocity.to(point.dtype)).to(latents.dtype)

    def to_prediction_at(self, output: Tensor, latents: Tensor, level: Tensor) -> Tensor:  # noqa: ARG002
        """The model's output is the velocity."""
        return output

    def diffuse(self, latents: Tensor, noise: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        """Latents (B, C, h, w) at the noisier position `end` <= `start`, with fresh noise.

        x_end = k x_start + sqrt(sigma_end^2 - k^2 sigma_start^2) noise with k = (1 - sigma_end) / (1 - sigma_start).
        Raises `ModelError` where `end` is pure noise, which keeps nothing of `latents`.
        """
        here, there = self.sigma(start, num_steps, latents), self.sigma(end, num_steps, latents)
        if there == 1:
            raise nothing_kept(end, "sigma 1")
        kept = (1 - there) / (1 - here)
        wide = at_least_float32(latents.dtype)
        fresh = (there**2 - (kept * here) ** 2) ** 0.5
        return (kept * latents.to(wide) + fresh * noise.to(wide)).to(latents.dtype)
