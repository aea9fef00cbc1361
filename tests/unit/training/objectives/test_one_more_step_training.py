"""One More Step: the loss by hand, draws by seed, step and place alone, and that the mean image is what it learns."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from unit.training.learnable import BRIEF, LATENT, TEXT, FakeModel, trained_whole_and_killed

from goldennoise.data.pairs.reader import PairReader
from goldennoise.networks.one_more_step import Config, NetworkConfig
from goldennoise.networks.one_more_step.network import OneMoreStep, build
from goldennoise.training.engine.batches import part_of_batch
from goldennoise.training.engine.data import PairBatch, PairData, PairDataset
from goldennoise.training.engine.fit import Setting, Training
from goldennoise.training.engine.frozen_inputs import open_frozen_inputs, write_frozen_inputs
from goldennoise.training.engine.module import NoiseTraining
from goldennoise.training.objectives.one_more_step import Loss

SMALL = Config(block_out_channels=(8, 16), layers_per_block=1, head_dim=8, norm_groups=4)
OPTIONS = replace(BRIEF, objective="one_more_step")


@pytest.fixture
def network() -> OneMoreStep:
    return build(NetworkConfig(LATENT, *TEXT, SMALL), seed=1)


@pytest.fixture
def loss() -> Loss:
    return Loss(OPTIONS, FakeModel())


@pytest.fixture(scope="module")
def data(reader: PairReader, rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> PairData:
    folder = tmp_path_factory.mktemp("inputs")
    write_frozen_inputs(folder, reader, rows, FakeModel(), SMALL)
    return PairData(PairDataset(reader, rows, open_frozen_inputs(folder, reader, rows)), OPTIONS, seed=0)


def batch_of(data: PairData, num: int = 6, rank: int = 0, num_ranks: int = 1) -> PairBatch:
    return data.dataset[part_of_batch(np.arange(num), rank, num_ranks)]


@torch.no_grad()
def test_the_loss_is_that_of_the_velocity_at_pure_noise(network: OneMoreStep, loss: Loss, data: PairData) -> None:
    batch = batch_of(data)
    velocity = network.unet(batch.source, 0, batch.prompt_embeds).sample
    expected = (velocity + (batch.golden - batch.source)).square().mean((1, 2, 3))
    torch.testing.assert_close(loss.pair_losses(network, batch, 1.0), expected)
    nothing = (batch.golden - batch.source).square().mean((1, 2, 3))
    torch.testing.assert_close(loss.source_losses(network, batch), nothing)


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_draws_depend_on_seed_step_and_place_alone(loss: Loss, data: PairData, num_ranks: int) -> None:
    batch = batch_of(data)
    whole = loss.drawn(batch, seed=4, step=7)
    torch.testing.assert_close(whole.golden - whole.source, batch.golden - batch.source, rtol=0, atol=1e-6)
    assert torch.equal(whole.source, loss.drawn(batch, 4, 7).source)
    for other in (batch, loss.drawn(batch, 5, 7), loss.drawn(batch, 4, 8)):
        assert not torch.isclose(whole.source, other.source).all((1, 2, 3)).any()
    for rank in range(num_ranks):
        part = loss.drawn(batch_of(data, 6, rank, num_ranks), 4, 7)
        assert torch.equal(part.source, whole.source[part.places])
        assert torch.equal(part.prompt_embeds, whole.prompt_embeds[part.places])


def test_noise_is_standard_normal_and_a_tenth_of_the_prompts_is_left_out(loss: Loss, data: PairData) -> None:
    drawn = [loss.drawn(batch_of(data), 0, step) for step in range(200)]
    noise = torch.cat([batch.source for batch in drawn])
    assert abs(float(noise.mean())) < 0.015
    assert abs(float(noise.var()) - 1) < 0.02
    left_out = torch.stack([(batch.prompt_embeds == loss.no_prompt).all((1, 2)) for batch in drawn]).float()
    assert abs(float(left_out.mean()) - 0.1) < 0.03
    assert (left_out.mean(0) > 0).all()


def test_only_training_draws(network: OneMoreStep, loss: Loss, data: PairData) -> None:
    module, batch = NoiseTraining(network, loss, OPTIONS, seed=0), batch_of(data)
    validating = module.pair_losses(batch)
    torch.testing.assert_close(validating, loss.pair_losses(network, batch, 1.0))
    expected = loss.pair_losses(network, loss.drawn(batch, 0, 3), 1.0).mean()
    torch.testing.assert_close(module.weighted_loss(batch, step=3, num_ranks=1), expected)


def test_it_learns_the_mean_image_whatever_the_noise(network: OneMoreStep, loss: Loss, data: PairData) -> None:
    batch = batch_of(data)
    image = torch.linspace(-1, 1, 4).view(4, 1, 1).expand(LATENT)
    batch = batch._replace(golden=batch.source + image)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    for step in range(100):
        optimizer.zero_grad()
        loss.pair_losses(network, loss.drawn(batch, 0, step), 0.0).mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        noise = torch.randn(64, *LATENT, generator=torch.Generator().manual_seed(9))
        images = network(noise, batch.prompt_embeds[:1].expand(64, -1, -1))
    assert float(images.var(dim=0).mean()) < 1e-3
    assert float((images.mean(dim=0) - image).abs().max()) < 0.1


def training(reader: PairReader, folder: Path) -> Training:
    options = replace(OPTIONS, num_epochs=3, sample_every_epochs=1, num_samples=1, keep_rejected=True)
    setting = Setting(progress_bar=False)
    return Training(reader, FakeModel(), SMALL, options, Loss(options, FakeModel()), folder, setting=setting)


def test_a_killed_training_ends_with_the_same_weights_and_samples_nothing(
    reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed, counts = trained_whole_and_killed(partial(training, reader), tmp_path, monkeypatch)
    assert counts.val_loss < counts.identity_val_loss
    assert not (tmp_path / "whole/samples").exists()
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
