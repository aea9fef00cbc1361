"""The Lightning module: a UNet, with its text encoder or without, and the moving average of what is trained."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from goldennoise.diffusion.conditioning import Conditioning
from goldennoise.runtime.seeding import derive_seed
from goldennoise.training.denoiser.base import DenoiserLoss, LatentBatch
from goldennoise.training.denoiser.data import TrainingData
from goldennoise.training.denoiser.networks import Denoiser, set_weights, trained_weights
from goldennoise.training.denoiser.validation import validation_errors
from goldennoise.training.engine.trained_module import TrainedModule

AVERAGE = "average"
"""Of a checkpoint: the moving average, by name."""


class DenoiserTraining(TrainedModule):
    """Trains the networks of `denoiser` that have gradients; a checkpoint holds these alone.

    average: name -> moving average of a weight. val_error: of the average, see `validation_errors`.
    """

    learns_from = "images"
    # What is frozen is loaded with the pipeline.
    strict_loading = False

    def __init__(self, denoiser: Denoiser, loss: DenoiserLoss, data: TrainingData, seed: int) -> None:
        super().__init__(loss.options.gradient_clip)
        self.model, self.loss, self.data, self.seed = denoiser.model, loss, data, seed
        self.text_encoders = nn.ModuleList(denoiser.text_encoders)
        self.unet = denoiser.pipe.unet
        self.average = {name: weight.detach().clone() for name, weight in trained_weights(self).items()}
        self.val_error = math.nan

    def trained_parameters(self) -> Sequence[nn.Parameter]:
        return [weight for weight in self.parameters() if weight.requires_grad]

    def told(self, token_ids: Sequence[Tensor], dropped: Tensor) -> Conditioning:
        """What captions tell the UNet, as token ids (B, tokens); dropped: (B,) which of them are none."""
        told = self.model.conditioning(token_ids)
        if self.model.zeros_without_prompt:
            kept = ~dropped
            told = {name: part * kept.view(-1, *(1,) * (part.dim() - 1)) for name, part in told.items()}
        return told

    def on_fit_start(self) -> None:
        self.average = {name: weight.to(self.device) for name, weight in self.average.items()}
        for network in (*self.text_encoders, self.unet):
            network.train(any(weight.requires_grad for weight in network.parameters()))

    def on_train_batch_start(self, *_: Any) -> None:
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.loss.options.rate(self.global_step)

    def training_step(self, batch: LatentBatch) -> Tensor:
        # What dropout draws, where a network has it, from torch's own generator.
        torch.manual_seed(derive_seed(self.seed, "dropout", str(self.global_rank), self.global_step))
        losses = self.loss.losses(self.model, self.told(batch.token_ids, batch.dropped), batch, self.averaged)
        self.train_loss.add(losses.detach(), torch.ones_like(losses))
        # DDP averages gradients over processes, which makes the result the gradient of the global batch.
        loss = losses.sum() / batch.num_global * self.trainer.world_size
        self.step_loss = loss.detach()
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        kept = self.loss.options.decay(self.global_step - 1)
        with torch.no_grad():
            for name, weight in trained_weights(self).items():
                self.average[name].lerp_(weight, 1 - kept)
        step = {"train_loss": self.step_loss, "gradient_norm": self.step_norm}
        self.log_dict({**step, "learning_rate": self.learning_rate})

    def on_train_epoch_end(self) -> None:
        self.log("val_error", self.val_error)

    def epoch_figures(self) -> dict[str, float]:
        with self.averaged():
            self.val_error = float(validation_errors(self.model, self.told, self.data, self.loss)["error"].mean())
        if not math.isfinite(self.val_error):
            raise self.not_finite("validation error", self.val_error, self.global_step)
        return {
            "step": self.global_step,
            "train_loss": self.train_loss.take(self),
            "val_error": self.val_error,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm.take(self),
        }

    def progress_note(self) -> str:
        return f"val_error {self.val_error:.5f}"

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the networks have the moving average of their weights, and are in eval mode."""
        networks = [*self.text_encoders, self.unet]
        modes = [network.training for network in networks]
        own = {name: weight.detach().clone() for name, weight in trained_weights(self).items()}
        set_weights(self, self.average)
        for network in networks:
            network.eval()
        yield
        set_weights(self, own)
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)

    def configure_optimizers(self) -> Any:
        options = self.loss.options
        return torch.optim.AdamW(self.trained_parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        names = trained_weights(self)
        checkpoint["state_dict"] = {name: checkpoint["state_dict"][name] for name in names}
        checkpoint[AVERAGE] = dict(self.average)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.average = checkpoint[AVERAGE]
