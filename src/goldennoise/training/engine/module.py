"""The Lightning module: a network and what it is trained for."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from goldennoise.networks.network import GoldenNetwork
from goldennoise.training.engine.data import PairBatch
from goldennoise.training.engine.options import TrainingOptions
from goldennoise.training.engine.stochastic_depth import StochasticDepth
from goldennoise.training.engine.trained_module import RunningMean, TrainedModule
from goldennoise.training.objectives.base import Objective


class NoiseTraining(TrainedModule):
    """Trains `network` on noise pairs for `objective`.

    identity_loss: validation loss of predicting the source itself, logged as a line to compare with.
    """

    learns_from = "pairs"

    def __init__(self, network: GoldenNetwork, objective: Objective, options: TrainingOptions, seed: int) -> None:
        super().__init__(options.gradient_clip)
        self.network = network
        self.objective = objective
        self.options = options
        self.seed = seed
        self.identity_loss = math.nan
        self.num_steps = math.inf
        self.stochastic_depth = StochasticDepth(network)
        self.val_loss = RunningMean()

    def trained_parameters(self) -> Sequence[nn.Parameter]:
        return list(self.network.parameters())

    def pair_losses(self, batch: PairBatch) -> Tensor:
        """(B,) the loss of each pair, in fp32."""
        done = self.global_step / self.num_steps if self.training else 1.0
        return self.objective.pair_losses(self.network, batch, done)

    def on_train_start(self) -> None:
        self.num_steps = self.trainer.estimated_stepping_batches

    def weighted_loss(self, batch: PairBatch, step: int, num_ranks: int) -> Tensor:
        """This process's share of the mean over the global batch, such that the mean over processes is that mean."""
        self.stochastic_depth.toss(self.seed, step, batch.places, batch.num_global, batch.source.device)
        losses = self.pair_losses(self.objective.drawn(batch, self.seed, step))
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
            raise self.not_finite("validation loss", loss, self.global_step)
        self.log_dict({"val_loss": loss, "val_loss_identity": self.identity_loss}, prog_bar=True)

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
        # Of steps that are counted at the start: counting them here would fetch batches before a checkpoint is read.
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.num_steps)))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def epoch_figures(self) -> dict[str, float]:
        figures = {
            "epoch": self.current_epoch + 1,
            "step": self.global_step,
            "train_loss": self.train_loss.take(self),
            "val_loss": self.trainer.callback_metrics["val_loss"].item(),
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm.take(self),
        }
        return figures | {name: value.item() for name, value in self.network.vitals().items()}

    def progress_note(self) -> str:
        loss = self.trainer.callback_metrics["val_loss"].item()
        epoch = f"epoch {self.current_epoch + 1}/{self.trainer.max_epochs}"
        return f"{epoch}, val_loss {loss:.5f}, source itself {self.identity_loss:.5f}"
