"""Pairs depend on nothing but their prompt and the seed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from goldennoise.config.compose import RunConfig, load
from goldennoise.data.pairs import PairReader
from goldennoise.stages import collect


def collected(outputs: Path, batch_size: int, prompts_per_shard: int) -> tuple[torch.Tensor, np.ndarray]:
    config: RunConfig = load(
        [
            "stage=collect",
            "stage.num_prompts=12",
            "model.num_steps=4",
            f"stage.prompts_per_shard={prompts_per_shard}",
            f"compute.batch_size={batch_size}",
            f"outputs={outputs}",
        ]
    )
    reader = PairReader(collect.run(config).path)
    source, golden = reader.noise(np.arange(len(reader.index)))
    scores = reader.index.filter(like="shapes_clip").to_numpy()
    return torch.cat([source, golden]), scores


@pytest.mark.parametrize(("batch_size", "prompts_per_shard"), [(1, 12), (7, 4), (64, 4)])
def test_batch_size_and_shards_do_not_change_pairs(tmp_path: Path, batch_size: int, prompts_per_shard: int) -> None:
    noise, scores = collected(tmp_path / "reference", batch_size=12, prompts_per_shard=12)
    other_noise, other_scores = collected(tmp_path / "other", batch_size, prompts_per_shard)
    torch.testing.assert_close(other_noise, noise, rtol=0, atol=1e-4)
    np.testing.assert_allclose(other_scores, scores, rtol=0, atol=1e-2)
