"""Batches of look-alikes: groups of pairs whose prompts hold nearly the same words (docs/science.md)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from goldennoise.errors import ConfigError, DataError
from goldennoise.runtime.seeding import derive_seed
from goldennoise.training.engine.batches import GlobalBatches
from goldennoise.training.engine.frozen_inputs import Embeddings, Inputs

NUM_LOOK_ALIKES = 48
"""Prompts nearest to one by their mean token, itself among them: its groups are drawn from these."""


def nearest_prompts(prompt_embeds: Embeddings, prompts: np.ndarray) -> Tensor:
    """(P, k) for every prompt the k = `NUM_LOOK_ALIKES` nearest by mean token, itself first; all P if they are fewer.

    prompts: (P,) rows of `prompt_embeds` (N, tokens, dim), of which a part at a time is read. The mean over tokens
    holds the words of a prompt better than their order.
    """
    parts = (prompt_embeds[prompts[start : start + 1000]] for start in range(0, len(prompts), 1000))
    means = torch.cat([torch.from_numpy(part).float().mean(dim=1) for part in parts])
    means = F.normalize(means - means.mean(dim=0), dim=1)
    num, size = min(NUM_LOOK_ALIKES, len(means)), 1000
    near = []
    for start in range(0, len(means), size):
        closeness = means[start : start + size] @ means.T
        # Prompts that differ in nothing but order may come out equal: nothing is nearer than itself.
        closeness[torch.arange(len(closeness)), torch.arange(start, start + len(closeness))] = 2.0
        near.append(closeness.topk(num, dim=1).indices)
    return torch.cat(near)


class LookAlikeBatches(GlobalBatches):
    """`GlobalBatches` of whole groups: a pair, each in turn, and `group_size` - 1 pairs of prompts that are alike.

    An epoch has as many pairs as there are rows, less those that fill no group; some come twice and some not at all.
    Raises `DataError` for too few prompts, `ConfigError` for a batch size that cuts groups.
    """

    def __init__(
        self,
        rows: np.ndarray,
        batch_size: int,
        seed: int | None,
        rank: int,
        num_ranks: int,
        inputs: Inputs,
        group_size: int,
    ) -> None:
        """inputs: of all rows of the data. seed: None for the same batches every epoch."""
        super().__init__(rows, batch_size, seed, rank, num_ranks)
        self.unit = group_size
        if batch_size % group_size:
            raise ConfigError(
                f"stage.batch_size={batch_size}: layouts learn from groups of {group_size} pairs; give a multiple of it"
            )
        prompts, self._prompt_of = np.unique(inputs.prompt_of[rows], return_inverse=True)
        if len(prompts) < group_size:
            raise DataError(
                f"layouts learn by telling {group_size} prompts apart, and there are pairs of {len(prompts)} to learn "
                "from or to validate on: collect more prompts, or set another stage.validation_share"
            )
        self._by_prompt = torch.from_numpy(np.argsort(self._prompt_of, kind="stable"))
        self._num_pairs = torch.from_numpy(np.bincount(self._prompt_of))
        self._first = self._num_pairs.cumsum(0) - self._num_pairs
        self._nearest = nearest_prompts(inputs.prompt_embeds, prompts)

    def __len__(self) -> int:
        return -(-(len(self.rows) // self.unit) // (self.batch_size // self.unit))

    def _order(self) -> np.ndarray:
        epoch = 0 if self.seed is None else self.epoch
        generator = torch.Generator().manual_seed(derive_seed(self.seed or 0, "look-alikes", "", epoch))
        anchors = torch.randperm(len(self.rows), generator=generator)[: len(self.rows) // self.unit]
        nearest = self._nearest[torch.from_numpy(self._prompt_of)[anchors]]
        shuffled = torch.rand(nearest[:, 1:].shape, generator=generator).argsort(dim=1)[:, : self.unit - 1]
        others = nearest[:, 1:].gather(1, shuffled)
        drawn = torch.rand(others.shape, generator=generator) * self._num_pairs[others]
        pairs = self._by_prompt[self._first[others] + drawn.long()]
        return self.rows[torch.cat([anchors[:, None], pairs], dim=1).flatten().numpy()]
