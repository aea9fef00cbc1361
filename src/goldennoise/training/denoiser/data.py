"""The data module: batches of latents with captions and noise, each a function of (seed, step) alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from goldennoise.diffusion.eval_mode import in_eval_mode
from goldennoise.training.denoiser.base import DenoiserLoss, LatentBatch, Levels
from goldennoise.training.denoiser.latents import Latents
from goldennoise.training.denoiser.options import ModelTraining


@dataclass(frozen=True)
class Captions:
    """Token ids of captions: of each tokenizer those of the different texts, (texts, tokens), and of none, (1, tokens).

    text_of: (N,) the text of each image.
    """

    token_ids: tuple[Tensor, ...]
    empty: tuple[Tensor, ...]
    text_of: Tensor

    @classmethod
    def of(cls, model: Any, captions: Sequence[str]) -> "Captions":
        """model: whose tokenizers read them."""
        number_of = {text: number for number, text in enumerate(dict.fromkeys(captions))}
        # Tokenizers are saved with the padding that they were used with, but for this.
        with in_eval_mode(model.pipeline):
            token_ids, empty = (tuple(part.cpu() for part in model.token_ids(texts)) for texts in ([*number_of], [""]))
        return cls(token_ids, empty, torch.tensor([number_of[text] for text in captions]))

    def __call__(self, rows: Tensor, dropped: Tensor) -> tuple[Tensor, ...]:
        """Token ids of the images `rows` (B,), of no prompt where `dropped` (B,)."""
        texts = self.text_of[rows]
        pairs = zip(self.empty, self.token_ids, strict=True)
        return tuple(torch.where(dropped[:, None], empty, ids[texts]) for empty, ids in pairs)


@dataclass(frozen=True)
class TrainingData:
    """Latents and captions, those held out last."""

    latents: Latents
    captions: Captions
    num_held_out: int

    @property
    def num_training(self) -> int:
        return len(self.latents) - self.num_held_out


class Batches(Dataset[LatentBatch]):
    """Item k is this process's part of the batch of step k."""

    def __init__(self, data: TrainingData, loss: DenoiserLoss, seed: int, rank: int, num_ranks: int) -> None:
        self.data, self.loss, self.seed = data, loss, seed
        self.rank, self.num_ranks = rank, num_ranks

    def __getitem__(self, step: int) -> LatentBatch:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)
        num, shape = self.loss.options.batch_size, self.data.latents.parts[0].shape[1:]
        drawn, levels = self.loss.draw(generator, num, self.data.num_training, tuple(shape))
        own = slice(self.rank, None, self.num_ranks)
        rows, dropped = drawn.rows[own], drawn.dropped[own]
        return LatentBatch(
            self.data.latents[rows],
            drawn.noise[own],
            Levels(*(part[own] for part in levels)),
            self.data.captions(rows, dropped),
            dropped,
            num,
        )


class Steps(Sampler[int]):
    """The steps of an epoch, which is what lies between two checkpoints; Lightning calls `set_epoch`.

    The last epoch may have fewer than the length says: Lightning reads it once.
    """

    def __init__(self, options: ModelTraining) -> None:
        self.options = options
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return min(self.options.save_every_steps, self.options.num_steps)

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * len(self)
        yield from range(first, min(first + len(self), self.options.num_steps))


class LatentData(LightningDataModule):
    """All steps of a training, dealt out to its processes."""

    def __init__(self, data: TrainingData, loss: DenoiserLoss, seed: int, num_workers: int) -> None:
        super().__init__()
        self.data, self.loss, self.seed, self.num_workers = data, loss, seed, num_workers

    def train_dataloader(self) -> DataLoader[LatentBatch]:
        assert self.trainer is not None
        batches = Batches(self.data, self.loss, self.seed, self.trainer.global_rank, self.trainer.world_size)
        steps = Steps(self.loss.options)
        # Workers fetch the first batches before Lightning sets the epoch that a resumed training is at.
        steps.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        return DataLoader(
            batches,
            batch_size=None,
            sampler=steps,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def transfer_batch_to_device(self, batch: LatentBatch, device: torch.device, *_: Any) -> LatentBatch:
        return batch.to(device)
