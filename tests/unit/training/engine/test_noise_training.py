"""The loss: each pair under its own prompt, the same with cached and fresh factors and on any number of processes."""

import numpy as np
import pytest
import torch
from unit.training.learnable import BRIEF, LATENT, SMALL, TEXT

from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.training.engine.batches import part_of_batch
from goldennoise.training.engine.data import PairBatch, PairData
from goldennoise.training.engine.module import NoiseTraining
from goldennoise.training.objectives.regression import Loss as Regression


@pytest.fixture
def network() -> NPNet:
    """An untrained network in which all branches take part."""
    network = seeded_npnet(NPNetConfig(LATENT, TEXT[0], TEXT[1], SMALL), seed=0)
    with torch.no_grad():
        network.alpha.fill_(0.7)
        network.beta.fill_(0.5)
    return network


def batch_of(data: PairData, num: int = 6, rank: int = 0, num_ranks: int = 1) -> PairBatch:
    # One seed of each prompt, so that no two pairs of the batch share a prompt.
    return data.dataset[part_of_batch(np.arange(num), rank, num_ranks)]


def losses(network: NPNet, batch: PairBatch) -> torch.Tensor:
    module = NoiseTraining(network.eval(), Regression(BRIEF), BRIEF, seed=0)
    with torch.no_grad():
        return module.pair_losses(batch)


def test_each_pair_sees_its_own_prompt(network: NPNet, data: PairData) -> None:
    batch = batch_of(data)
    together = losses(network, batch)
    alone = torch.cat([losses(network, data.dataset[part_of_batch(np.array([row]), 0, 1)]) for row in range(6)])
    torch.testing.assert_close(together, alone)
    with_first_prompt = losses(network, batch._replace(prompt_embeds=batch.prompt_embeds[:1].expand(6, -1, -1)))
    assert torch.equal(with_first_prompt[:1], together[:1])
    assert not torch.isclose(with_first_prompt[1:], together[1:], rtol=1e-4).any()


def test_exchanging_prompts_within_the_batch_changes_every_loss(network: NPNet, data: PairData) -> None:
    batch = batch_of(data)
    exchanged = losses(network, batch._replace(prompt_embeds=batch.prompt_embeds.roll(1, dims=0)))
    assert not torch.isclose(exchanged, losses(network, batch), rtol=1e-4).any()


def test_cached_factors_and_fresh_ones_give_the_same_loss(network: NPNet, data: PairData) -> None:
    batch = batch_of(data)
    fresh = losses(network, batch._replace(frozen=network.frozen_inputs(batch.source)))
    torch.testing.assert_close(losses(network, batch), fresh, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_ranks", [2, 3, 8])
def test_the_mean_gradient_of_the_ranks_is_the_gradient_of_one_process(
    network: NPNet, data: PairData, num_ranks: int
) -> None:
    """Stochastic depth included, and with 5 pairs no number of ranks divides the batch."""
    expected = gradient(network, batch_of(data, num=5), 1)
    parts = [gradient(network, batch_of(data, 5, rank, num_ranks), num_ranks) for rank in range(num_ranks)]
    torch.testing.assert_close(torch.stack(parts).mean(0), expected, rtol=1e-4, atol=1e-6)


def gradient(network: NPNet, batch: PairBatch, num_ranks: int) -> torch.Tensor:
    module = NoiseTraining(network.train(), Regression(BRIEF), BRIEF, seed=0)
    network.zero_grad()
    module.weighted_loss(batch, step=3, num_ranks=num_ranks).backward()
    return torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])


def test_stochastic_depth_changes_with_the_step_and_leaves_the_global_generator_alone(
    network: NPNet, data: PairData
) -> None:
    module, batch = NoiseTraining(network.train(), Regression(BRIEF), BRIEF, seed=0), batch_of(data)
    before = torch.get_rng_state()
    values = [module.weighted_loss(batch, step, num_ranks=1).item() for step in (0, 1, 2, 3, 0)]
    assert torch.equal(torch.get_rng_state(), before)
    assert len(set(values)) > 1
    assert values[0] == values[-1]
