"""Sample images during training: what the frozen model makes of source noise and of the network's golden noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image
from torch import Tensor

from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel, PromptEmbedding
from goldennoise.networks.network import GoldenNetwork
from goldennoise.store.files import whole
from goldennoise.training.engine.loggers import log_images
from goldennoise.training.engine.module import NoiseTraining


@dataclass(frozen=True)
class Examples:
    """What sample images are made from: source (B, C, h, w), its prompts and frozen inputs, on the model's device."""

    prompts: Sequence[str]
    source: Tensor
    embedding: PromptEmbedding
    frozen: tuple[Tensor, ...]


class SampleImages(Callback):
    """Every `every` epochs and after the last: one PNG, a row per prompt, the source's image left, the golden right."""

    def __init__(self, model: DiffusionModel, examples: Examples, folder: Path, every: int) -> None:
        self.model = model
        self.examples = examples
        self.folder = folder
        self.every = every
        self._standard: Tensor | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: NoiseTraining) -> None:  # type: ignore[override]
        epoch = trainer.current_epoch + 1
        if epoch % self.every and epoch != trainer.max_epochs:
            return
        rows = self._rows(pl_module.network)
        with whole(self.folder / f"epoch-{epoch:04d}.png") as beside:
            Image.fromarray(np.concatenate(rows)).save(beside, format="PNG")
        for logger in trainer.loggers:
            log_images(logger, rows, self.examples.prompts, trainer.global_step)

    @torch.inference_mode()
    def _rows(self, network: GoldenNetwork) -> list[np.ndarray]:
        """Per prompt (height, 2 width, 3), uint8."""
        examples = self.examples
        if self._standard is None:
            self._standard = self._images(examples.source)
        training = network.training
        network.eval()
        if network.config.architecture.needs_model:
            golden = network.predict(self.model, examples.source.float(), examples.embedding)
        else:
            golden = network(examples.source.float(), examples.embedding.cond.float(), *examples.frozen)
        network.train(training)
        pairs = torch.cat([self._standard, self._images(golden.to(examples.source))], dim=3)
        return list((pairs * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())

    def _images(self, noise: Tensor) -> Tensor:
        plan, step_seeds = SamplingPlan(noise), list(range(len(noise)))
        return self.model.decode(self.model.sample(plan, self.examples.embedding, step_seeds)).clamp(0, 1)
