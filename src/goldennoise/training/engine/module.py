"""The Lightning module: a network and what it is trained for."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from goldennoise.errors import GoldenNoiseError
from goldennoise.networks.network import GoldenNetwork
from goldennoise.training.engine.data import PairBatch
from goldennoise.training.engine.options import TrainingOptions
from goldennoise.training.engine.stochastic_depth import StochasticDepth
from goldennoise.training.objectives.base import Objective


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


class NoiseTraining(LightningModule):
    """Trains `network` on noise pairs for `objective`.

    identity_loss: validation loss of predicting the source itself, logged as a line to compare with.
    """

    def __init__(self, network: GoldenNetwork, objective: Objective, options: TrainingOptions, seed: int) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self.options = options
        self.seed = seed
        self.identity_loss = math.nan
        self.num_steps = math.inf
        self.stochastic_depth = StochasticDepth(network)
        self.train_loss, self.val_loss, self.gradient_norm = RunningMean(), RunningMean(), RunningMean()
        self.step_loss = self.step_norm = torch.tensor(math.nan)
        self.learning_rate = math.nan

    def pair_losses(self, batch: PairBatch) -> Tensor:
        """(B,) the loss of each pair, in fp32."""
        done = self.global_step / self.num_steps if self.training else 1.0
        return self.objective.pair_losses(self.network, batch, done)

    def on_train_start(self) -> None:
        self.num_steps = self.trainer.estimated_stepping_batches

    def weighted_loss(self, batch: PairBatch, step: int, num_ranks: int) -> Tensor:
        """This process's share of the mean over the global batch, such that the mean over processes is that mean."""
        self.stochastic_depth.toss(self.seed, step, batch.places, batch.num_global, batch.source.device)
        losses = self.pair_losses(batch)
        self.train_loss.add(losses.detach(), batch.weights)
        return (losses * batch.weights).sum() * (num_ranks / batch.num_global)

    def training_step(self, batch: PairBatch) -> Tensor:
        # DDP averages gradients over processes, which makes the result the gradient of the global batch.
        loss = self.weighted_loss(batch, self.global_step, self.trainer.world_size)
        self.step_loss = loss.detach()
        return loss

    def validation_step(self, batch: PairBatch) -> None:
        self.val_loss.add(self.pair_losses(batch), batch.weights)

    def on_validation_epoch_end(self) -> None:
        loss = self.val_loss.take(self)
        if not math.isfinite(loss):
            raise self._not_finite("validation loss", loss, self.global_step)
        self.log_dict({"val_loss": loss, "val_loss_identity": self.identity_loss}, prog_bar=True)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clips, and measures on the way. Gradients are averaged by now, so every process stops at the same step."""
        limit = self.options.gradient_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        self.step_norm = norm.detach()
        self.learning_rate = float(optimizer.param_groups[0]["lr"])
        if not math.isfinite(norm.item()):
            loss = float(self.step_loss)
            what = ("gradient", norm.item()) if math.isfinite(loss) else ("loss", loss)
            raise self._not_finite(*what, self.global_step + 1)
        self.gradient_norm.add(norm.detach()[None], torch.ones_like(norm)[None])

    def on_train_batch_end(self, *_: Any) -> None:
        step = {"train_loss": self.step_loss, "gradient_norm": self.step_norm}
        self.log_dict({**step, **self.network.vitals(), "learning_rate": self.learning_rate})

    def configure_optimizers(self) -> Any:
        options = self.options
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        if options.schedule == "constant":
            return {"optimizer": optimizer}
        num_steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / num_steps)))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _not_finite(self, what: str, value: float, step: int) -> GoldenNoiseError:
        done = self.current_epoch
        kept = f"the last good checkpoint is that of epoch {done}" if done else "no epoch was complete"
        return GoldenNoiseError(
            f"training stopped at step {step} (epoch {done + 1}): the {what} became {value}; {kept}; "
            "lower stage.learning_rate, set stage.gradient_clip, or look for non-finite numbers in the pairs"
        )
