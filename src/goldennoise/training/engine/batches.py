"""Which pairs make which batch: a pure function of (seed, epoch), cut over the processes of a run."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Sampler

from goldennoise.errors import DataError
from goldennoise.runtime.seeding import derive_seed
from goldennoise.training.engine.options import num_held_out


@dataclass(frozen=True)
class BatchPart:
    """One process's part of a global batch.

    rows: (B,) rows of the data. places: (B,) their places in the global batch. weights: (B,) 1, or 0 for padding.
    num_global: number of pairs of the global batch, over all processes.
    """

    rows: np.ndarray
    places: np.ndarray
    weights: np.ndarray
    num_global: int


def part_of_batch(batch: np.ndarray, rank: int, num_ranks: int, unit: int = 1) -> BatchPart:
    """Every num_ranks-th unit of pairs from `rank` on, padded with the batch's first to the same length on every rank.

    unit: pairs that stay together; it divides the batch.
    """
    num_units = len(batch) // unit
    length = -(-num_units // num_ranks)
    units = np.arange(rank, num_units, num_ranks)
    weights = np.repeat(np.arange(length) < len(units), unit).astype(np.float32)
    units = np.pad(units, (0, length - len(units)))
    places = (units[:, None] * unit + np.arange(unit)).ravel()
    return BatchPart(batch[places], places, weights, len(batch))


class GlobalBatches(Sampler[BatchPart]):
    """The parts of all global batches of an epoch; together the ranks see each row once, whatever their number.

    seed: None for the rows as they are, else every epoch shuffles them; Lightning calls `set_epoch`.
    """

    unit = 1
    """Pairs that stay on one process."""

    def __init__(self, rows: np.ndarray, batch_size: int, seed: int | None, rank: int = 0, num_ranks: int = 1) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.num_ranks = num_ranks
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[BatchPart]:
        order = self._order()
        for start in range(0, len(order), self.batch_size):
            yield part_of_batch(order[start : start + self.batch_size], self.rank, self.num_ranks, self.unit)

    def _order(self) -> np.ndarray:
        if self.seed is None:
            return self.rows
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "batch order", "", self.epoch))
        return self.rows[torch.randperm(len(self.rows), generator=generator).numpy()]


def held_out(prompt_ids: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which rows are for validation, (N,) bool: whole prompts, `share` of them and at least one, by a seeded hash.

    Raises `DataError` for fewer than two prompts.
    """
    prompts = sorted(set(prompt_ids), key=lambda prompt: derive_seed(seed, "validation split", prompt))
    if len(prompts) < 2:
        raise DataError(
            f"training needs pairs of at least 2 prompts, one of them to validate on, and there are pairs of "
            f"{len(prompts)}: collect more prompts, or set stage.keep_rejected=true to use rejected pairs too"
        )
    return np.isin(prompt_ids, prompts[: num_held_out(len(prompts), share)])
