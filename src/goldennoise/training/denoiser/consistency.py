"""Consistency distillation: a student of few steps from a model of many guided ones.

Of latent consistency models (Luo et al., arXiv 2310.04378), whose steps draw noise, and of multistep consistency models
(Heek et al., arXiv 2403.06807), whose steps are deterministic.
"""

import numpy as np
import torch
from torch import Generator, Tensor

from goldennoise.diffusion.conditioning import Conditioning, conditionings
from goldennoise.diffusion.eval_mode import in_eval_mode
from goldennoise.diffusion.families.latent_unet import LatentUNet
from goldennoise.diffusion.noise_levels.table import ALMOST_NOISE
from goldennoise.errors import ModelError
from goldennoise.training.denoiser.base import Averaged, DenoiserLoss, Draw, LatentBatch, Levels, of_row
from goldennoise.training.denoiser.options import DistilOptions

SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0
"""Of the boundary condition of a latent consistency model, as diffusers' `LCMScheduler` has them."""
HUBER = 1e-3
"""Distance at which the loss turns from squared to absolute."""


class ConsistencyLoss(DenoiserLoss):
    """Where the student arrives, f(z, t), shall not change along a guided DDIM step of the teacher from t.

    A latent consistency model arrives at an image: f(z, t) = c_skip(t) z + c_out(t) x_0(z, t), which is z at timestep
    0. A student of K deterministic steps arrives at the end of the Kth of the schedule that t lies in, by one DDIM
    step, which leads nowhere where t is that end. The loss is the pseudo-Huber distance of f at t from f one step of
    the teacher on by the moving average of the student. The teacher's guidance is folded in: the student samples with
    none.
    """

    def __init__(self, teacher: LatentUNet, prediction: str, options: DistilOptions) -> None:
        """teacher: frozen, and guided by its own guidance and negative prompt. prediction: of both UNets.

        Raises `ModelError` for a teacher that predicts noise at pure noise.
        """
        super().__init__(teacher.alpha_bars, options)
        self.student_steps = options.student_steps
        if prediction == "epsilon" and self.alpha_bars[-1] <= ALMOST_NOISE:
            raise ModelError(
                f"{teacher.name} predicts noise, and its last timestep is pure noise, which says nothing of an image: "
                "distil a model that predicts v"
            )
        self.teacher, self.prediction = teacher, prediction
        # Tokenizers are saved with the padding that they were used with, but for this.
        with in_eval_mode(teacher.pipeline), torch.no_grad():
            self.without = conditionings(teacher.encode([""]))[1]
        num_train = len(self.alpha_bars)
        self.stride = num_train // options.solver_steps
        self.solver = torch.arange(1, options.solver_steps + 1) * self.stride - 1
        self.span = num_train if options.student_steps is None else num_train // options.student_steps

    def draw(self, generator: Generator, num: int, num_rows: int, shape: tuple[int, ...]) -> tuple[Draw, Levels]:
        rows = torch.randint(num_rows, (num,), generator=generator)
        noise = torch.randn(num, *shape, generator=generator)
        timesteps = self.solver[torch.randint(len(self.solver), (num,), generator=generator)]
        kept = torch.zeros(num, dtype=torch.bool)
        alpha_bars = self.alpha_bars[timesteps]
        return Draw(rows, noise, timesteps, kept), Levels(timesteps, alpha_bars, torch.ones_like(alpha_bars))

    def losses(self, model: LatentUNet, told: Conditioning, batch: LatentBatch, averaged: Averaged) -> Tensor:
        """(B,) mean over dimensions, in units of latents."""
        with averaged():
            target = self._target(model, told, batch)
        distance = self._arrival(model, told, *self._start(batch)) - target
        return ((distance.square() + HUBER**2).sqrt() - HUBER).mean(dim=(1, 2, 3))

    def validation_errors(self, model: LatentUNet, told: Conditioning, batch: LatentBatch) -> Tensor:
        """Squared distance of the student's arrival from that one step on, mean over dimensions."""
        distance = self._arrival(model, told, *self._start(batch)) - self._target(model, told, batch)
        return distance.square().mean(dim=(1, 2, 3))

    def validation_timesteps(self, num: int) -> list[int]:
        places = np.linspace(0, len(self.solver) - 1, min(num, len(self.solver))).round().astype(int)
        return self.solver[places].tolist()

    def _start(self, batch: LatentBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Noised latents, their timesteps and those of the arrival."""
        timesteps = batch.levels.timesteps
        ends = (timesteps // self.span * self.span - 1).clamp(min=0)
        return self.noised(batch.clean, batch.noise, batch.levels.alpha_bars), timesteps, ends

    @torch.no_grad()
    def _target(self, model: LatentUNet, told: Conditioning, batch: LatentBatch) -> Tensor:
        """The student's arrival one step of the teacher on."""
        noisy, timesteps, ends = self._start(batch)
        following = (timesteps - self.stride).clamp(min=0)
        image, noise = self._split(noisy, self._guided(noisy, timesteps, told), timesteps)
        moved = self.noised(image, noise, self._alpha_bars_at(following))
        return self._arrival(model, told, moved, following, ends)

    def _guided(self, noisy: Tensor, timesteps: Tensor, told: Conditioning) -> Tensor:
        """The teacher's output (B, C, h, w) with its guidance."""
        both = {name: torch.cat([self.without[name].expand_as(part), part]) for name, part in told.items()}
        output = self.teacher.output(noisy.repeat(2, 1, 1, 1), timesteps.repeat(2), both)
        without, given = output.float().chunk(2)
        return without + self.teacher.guidance * (given - without)

    def _arrival(self, model: LatentUNet, told: Conditioning, noisy: Tensor, timesteps: Tensor, ends: Tensor) -> Tensor:
        """f(z, t)."""
        image, noise = self._split(noisy, model.output(noisy, timesteps, told).float(), timesteps)
        if self.student_steps is not None:
            return self.noised(image, noise, self._alpha_bars_at(ends))
        scaled = of_row(timesteps.float()) * TIMESTEP_SCALING
        kept = SIGMA_DATA**2 / (scaled.square() + SIGMA_DATA**2)
        return kept * noisy + scaled / (scaled.square() + SIGMA_DATA**2).sqrt() * image

    def _split(self, noisy: Tensor, output: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """The clean latents and the noise that an output predicts."""
        signal = of_row(self._alpha_bars_at(timesteps))
        if self.prediction == "v_prediction":
            return signal.sqrt() * noisy - (1 - signal).sqrt() * output, (
                signal.sqrt() * output + (1 - signal).sqrt() * noisy
            )
        return (noisy - (1 - signal).sqrt() * output) / signal.sqrt(), output

    def _alpha_bars_at(self, timesteps: Tensor) -> Tensor:
        return self.alpha_bars.to(timesteps.device)[timesteps]
