"""The data module: noise pairs with what is known about them, in batches of a stated order."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from goldennoise.data.pairs.reader import PairReader
from goldennoise.errors import DataError
from goldennoise.runtime.seeding import derive_seed
from goldennoise.training.engine.batches import BatchPart, GlobalBatches, held_out
from goldennoise.training.engine.frozen_inputs import Inputs
from goldennoise.training.engine.look_alikes import LookAlikeBatches
from goldennoise.training.engine.options import TrainingOptions


class PairBatch(NamedTuple):
    """One process's part of a global batch of `num_global` pairs, fp32.

    source, golden: (B, C, h, w). prompts: (B,), and prompt_embeds: (B, tokens, dim), each pair's own. frozen: what the
    network computes of the source whatever its weights, each (B, ...). gains: (B,) about 1, what the golden image
    gained, or 0, over the mean gain. weights: (B,) 1, or 0 for padding. places: (B,) places in the global batch.
    step_seeds: (B,) of what a stochastic sampler draws at its steps.
    """

    source: Tensor
    golden: Tensor
    prompt_embeds: Tensor
    frozen: tuple[Tensor, ...]
    prompts: list[str]
    gains: Tensor
    weights: Tensor
    places: Tensor
    num_global: int
    step_seeds: list[int]

    def to(self, device: torch.device) -> "PairBatch":
        """Everything on `device`, except `places`, which stay on the CPU where stochastic depth is drawn."""
        tensors = ("source", "golden", "prompt_embeds", "gains", "weights")
        moved: dict[str, Any] = {name: getattr(self, name).to(device, non_blocking=True) for name in tensors}
        frozen = tuple(part.to(device, non_blocking=True) for part in self.frozen)
        return self._replace(**moved, frozen=frozen)


def chosen_rows(reader: PairReader, keep_rejected: bool) -> np.ndarray:
    """Index positions of the pairs to learn from. Raises `DataError` if there are none."""
    rows = np.arange(len(reader.index)) if keep_rejected else np.flatnonzero(reader.index["kept"].to_numpy())
    if not len(rows):
        raise DataError(
            f"none of the {len(reader.index)} pairs passed the preference filter: set stage.keep_rejected=true to "
            "learn from rejected pairs, or collect with another method or a smaller stage.margin"
        )
    return rows


class PairDataset(Dataset[PairBatch]):
    """Reads whole parts of batches; row i is the pair at index position `rows[i]`."""

    def __init__(self, reader: PairReader, rows: np.ndarray, inputs: Inputs) -> None:
        self.reader = reader
        self.rows = rows
        self.inputs = inputs
        # A pair that lost anything is worth nothing: a negative weight would drive the network away without end.
        gains = np.maximum(reader.index["gain"].to_numpy()[rows], 0.0)
        self.gains = gains / gains.mean() if gains.any() else np.ones(len(rows))

    def __getitem__(self, part: BatchPart) -> PairBatch:
        rows = self.rows[part.rows]
        source, golden = self.reader.noise(rows)
        # Texts and seeds of this batch only: those of all pairs are memory that grows with the data.
        index = self.reader.index.iloc[rows]
        samples = zip(index["prompt_id"], index["seed"], strict=True)
        return PairBatch(
            source.float(),
            golden.float(),
            self.inputs.prompts(part.rows),
            self.inputs.frozen_of(part.rows),
            index["prompt"].tolist(),
            torch.from_numpy(self.gains[part.rows]).float(),
            torch.from_numpy(part.weights),
            torch.from_numpy(part.places),
            part.num_global,
            [derive_seed(0, "steps", prompt, seed) for prompt, seed in samples],
        )


class PairData(LightningDataModule):
    """Training and validation batches, split by prompt.

    Each global batch is dealt out to the processes. Where it does not divide, the shorter parts are padded with a pair
    of weight 0, and the loss divides by the size of the global batch: the averaged gradient is that of one process.
    group_size: pairs of look-alikes that come together; 1 for pairs on their own.
    """

    def __init__(
        self, dataset: PairDataset, options: TrainingOptions, seed: int, num_workers: int = 0, group_size: int = 1
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.options = options
        self.seed = seed
        self.num_workers = num_workers
        self.group_size = group_size
        ids = dataset.reader.index["prompt_id"].to_numpy(dtype=str)[dataset.rows]
        validation = held_out(ids, options.validation_share, seed)
        self.training_rows = np.flatnonzero(~validation)
        self.validation_rows = np.flatnonzero(validation)
        self.num_prompts = len(set(ids))

    def train_dataloader(self) -> DataLoader[PairBatch]:
        return self._loader(self.training_rows, self.seed)

    def val_dataloader(self) -> DataLoader[PairBatch]:
        return self._loader(self.validation_rows, None)

    def transfer_batch_to_device(self, batch: PairBatch, device: torch.device, *_: Any) -> PairBatch:
        return batch.to(device)

    def validation_batches(self) -> Iterator[PairBatch]:
        """The validation pairs in batches of one process."""
        for part in self._batches(self.validation_rows, None, 0, 1):
            yield self.dataset[part]

    def prompt_embeds(self, num: int) -> Tensor:
        """(N, tokens, dim), fp32, of at most `num` training pairs, evenly spaced."""
        return self.dataset.inputs.prompts(_spaced(self.training_rows, num))

    def displacements(self, num: int) -> Tensor:
        """Golden minus source noise (N, C, h, w), fp32, of at most `num` training pairs, evenly spaced."""
        source, golden = self.dataset.reader.noise(self.dataset.rows[_spaced(self.training_rows, num)])
        return golden.float() - source.float()

    def _loader(self, rows: np.ndarray, seed: int | None) -> DataLoader[PairBatch]:
        assert self.trainer is not None
        batches = self._batches(rows, seed, self.trainer.global_rank, self.trainer.world_size)
        # Workers fetch the first batches before Lightning sets the epoch that a resumed training is at.
        batches.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        return DataLoader(
            self.dataset,
            batch_size=None,
            sampler=batches,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def _batches(self, rows: np.ndarray, seed: int | None, rank: int, num_ranks: int) -> GlobalBatches:
        ordered = (rows, self.options.batch_size, seed, rank, num_ranks)
        if self.group_size == 1:
            return GlobalBatches(*ordered)
        return LookAlikeBatches(*ordered, self.dataset.inputs, self.group_size)


def _spaced(rows: np.ndarray, num: int) -> np.ndarray:
    """At most `num` of the rows, evenly spaced."""
    return rows[:: -(-len(rows) // num)]
