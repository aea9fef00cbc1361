"""What every Lightning module here has: means over an epoch, gradients clipped and watched, figures for the record."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from goldennoise.errors import GoldenNoiseError


class RunningMean:
    """A weighted mean over an epoch and over all processes, summed in double precision."""

    def __init__(self) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64)

    def add(self, values: Tensor, weights: Tensor) -> None:
        """values, weights: (B,)."""
        if values.device.type == "mps":  # which has no float64
            values, weights = values.cpu(), weights.cpu()
        part = torch.stack([(values.double() * weights).sum(), weights.double().sum()])
        self.sums = self.sums.to(part) + part

    def take(self, module: LightningModule) -> float:
        """The mean so far, the same on every process; the next one begins."""
        total, weight = module.trainer.strategy.reduce(self.sums, reduce_op="sum").tolist()
        self.sums = torch.zeros_like(self.sums)
        return total / weight


class TrainedModule(LightningModule):
    """Base of the modules that the engine trains. A loss or gradient that is not finite stops the training."""

    learns_from: ClassVar[str]
    """What it learns from, in messages."""

    def __init__(self, gradient_clip: float | None) -> None:
        """gradient_clip: largest L2 norm of the gradient, None for no clipping."""
        super().__init__()
        self.gradient_clip = gradient_clip or math.inf
        self.train_loss, self.gradient_norm = RunningMean(), RunningMean()
        self.step_loss = self.step_norm = torch.tensor(math.nan)
        self.learning_rate = math.nan

    @abstractmethod
    def trained_parameters(self) -> Sequence[nn.Parameter]:
        """What the optimiser moves."""

    @abstractmethod
    def epoch_figures(self) -> dict[str, float]:
        """A row of training.csv, at the end of an epoch. Every process calls it."""

    @abstractmethod
    def progress_note(self) -> str:
        """What stands beside the progress once an epoch is validated."""

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clips, and measures on the way. Gradients are averaged by now, so every process stops at the same step."""
        norm = nn.utils.clip_grad_norm_(self.trained_parameters(), self.gradient_clip)
        self.step_norm = norm.detach()
        self.learning_rate = float(optimizer.param_groups[0]["lr"])
        if not math.isfinite(norm.item()):
            loss = float(self.step_loss)
            what = ("gradient", norm.item()) if math.isfinite(loss) else ("loss", loss)
            raise self.not_finite(*what, self.global_step + 1)
        self.gradient_norm.add(norm.detach()[None], torch.ones_like(norm)[None])

    def not_finite(self, what: str, value: float, step: int) -> GoldenNoiseError:
        """What to raise where a number at optimiser step `step` is not finite."""
        done = self.current_epoch
        kept = f"the last good checkpoint is that of epoch {done}" if done else "no epoch was complete"
        return GoldenNoiseError(
            f"training stopped at step {step} (epoch {done + 1}): the {what} became {value}; {kept}; "
            f"lower stage.learning_rate, set stage.gradient_clip, or look for non-finite numbers in the "
            f"{self.learns_from}"
        )
