"""Networks that draw layouts: groups of look-alikes, the loss by hand, any number of processes, and that they learn."""

import math
import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from unit.training.learnable import LATENT, TEXT, FakeModel, text_of, trained_whole_and_killed, write_pairs

from goldennoise.data.pairs.reader import PairReader
from goldennoise.errors import ConfigError, DataError
from goldennoise.networks.layouts import Config as LayoutArchitecture
from goldennoise.networks.layouts import NetworkConfig as LayoutNPNetConfig
from goldennoise.networks.layouts.network import LayoutNPNet
from goldennoise.networks.layouts.network import build as seeded_layout_npnet
from goldennoise.training.engine.batches import part_of_batch
from goldennoise.training.engine.data import PairBatch, PairData, PairDataset, chosen_rows
from goldennoise.training.engine.fit import Training, train_npnet
from goldennoise.training.engine.frozen_inputs import FrozenInputs, open_frozen_inputs, write_frozen_inputs
from goldennoise.training.engine.look_alikes import NUM_LOOK_ALIKES, LookAlikeBatches, nearest_prompts
from goldennoise.training.engine.module import NoiseTraining
from goldennoise.training.engine.options import TrainingOptions
from goldennoise.training.engine.trainer import Setting
from goldennoise.training.objectives.layout_likelihood import CONTRAST_FROM, CONTRAST_TO, GROUP_SIZE, VARIANCE
from goldennoise.training.objectives.layout_likelihood import Loss as LayoutLikelihood

SMALL = LayoutArchitecture(num_layouts=3, rank=10, width=16, depth=1, heads=2, hidden=24)
BRIEF = TrainingOptions(
    objective="layout_likelihood",
    num_epochs=3,
    batch_size=24,
    learning_rate=3e-3,
    schedule="cosine",
    validation_share=0.3,
    keep_rejected=True,
    sample_every_epochs=0,
)
QUIET = Setting(progress_bar=False)
LIKELIHOOD = LayoutLikelihood(BRIEF)


def training(reader: PairReader, folder: Path, options: TrainingOptions = BRIEF) -> Training:
    return Training(reader, FakeModel(), SMALL, options, LIKELIHOOD, folder, setting=QUIET)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PairReader:
    """100 pairs of 50 prompts."""
    return write_pairs(tmp_path_factory.mktemp("pairs"), num_prompts=50)


@pytest.fixture(scope="module")
def data(reader: PairReader, tmp_path_factory: pytest.TempPathFactory) -> PairData:
    folder, rows = tmp_path_factory.mktemp("inputs"), chosen_rows(reader, keep_rejected=True)
    write_frozen_inputs(folder, reader, rows, FakeModel(), SMALL)
    dataset = PairDataset(reader, rows, open_frozen_inputs(folder, reader, rows))
    return PairData(dataset, BRIEF, seed=0, group_size=GROUP_SIZE)


@pytest.fixture
def network(data: PairData) -> LayoutNPNet:
    network = seeded_layout_npnet(LayoutNPNetConfig(LATENT, *TEXT, SMALL), seed=0)
    source, golden = data.dataset.reader.noise(data.dataset.rows)
    network.fit_inputs(torch.stack([text_of(f"prompt number {number}") for number in range(50)]), golden - source)
    with torch.no_grad():
        network.coefficients.weight.mul_(20)
    return network


def batches(
    rows: np.ndarray, seed: int | None = 0, batch_size: int = 24, rank: int = 0, num_ranks: int = 1
) -> LookAlikeBatches:
    """Of 40 rows for each of 60 prompts in a ring, the nearest of which are its neighbours."""
    angles = 2 * math.pi * np.arange(60) / 60
    embeds = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None].repeat(3, axis=1)
    inputs = FrozenInputs(embeds, np.arange(2400) % 60, ())
    return LookAlikeBatches(rows, batch_size, seed, rank, num_ranks, inputs, GROUP_SIZE)


def test_the_nearest_prompts_are_those_of_the_nearest_mean_tokens() -> None:
    embeds = np.random.default_rng(0).normal(size=(NUM_LOOK_ALIKES + 30, 4, 5)) + 3
    embeds[7] = embeds[3]
    stored = np.concatenate([np.full((5, 4, 5), 9.0), embeds])
    nearest = nearest_prompts(stored, 5 + np.arange(len(embeds)))
    assert nearest[:, 0].tolist() == list(range(len(embeds)))
    assert 7 in nearest[3, :2]
    means = embeds.mean(1) - embeds.mean((0, 1))
    for row in (0, 20):
        cosines = [means[row] @ other / np.linalg.norm(other) for other in means]
        assert set(nearest[row].tolist()) == set(np.argsort(cosines)[::-1][:NUM_LOOK_ALIKES].tolist())


def test_prompt_embeddings_are_read_a_part_at_a_time() -> None:
    alive: weakref.WeakSet[np.ndarray] = weakref.WeakSet()
    most: list[int] = []

    class Part(np.ndarray):
        __hash__ = object.__hash__

    class OnDisk:
        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            part = np.random.default_rng(0).normal(size=(len(rows), 1, 2)).view(Part)
            most.append(len(rows) + sum(len(other) for other in alive))
            alive.add(part)
            return part

    nearest_prompts(OnDisk(), np.arange(4500))  # type: ignore[arg-type]
    assert len(most) == 5
    assert max(most) <= 2000


def test_groups_hold_different_prompts_that_are_alike() -> None:
    rows = np.arange(0, 2400, 2)
    groups = np.concatenate([part.rows for part in batches(rows)]).reshape(-1, GROUP_SIZE)
    assert len(groups) == len(rows) // GROUP_SIZE
    assert set(groups.flatten()) <= set(rows)
    distances = np.abs(groups % 60 - groups[:, :1] % 60)
    assert (np.minimum(distances, 60 - distances) > 0)[:, 1:].all()
    for group in groups:
        assert len(set(group % 60)) == GROUP_SIZE
    # Half of the prompts have pairs among these rows, 30 in all: everyone's look-alikes are all of them.
    assert set(groups.flatten() % 60) == set(range(0, 60, 2))


def test_only_near_prompts_are_drawn() -> None:
    groups = np.concatenate([part.rows for part in batches(np.arange(2400))]).reshape(-1, GROUP_SIZE) % 60
    distances = np.abs(groups - groups[:, :1])
    assert np.minimum(distances, 60 - distances).max() == NUM_LOOK_ALIKES // 2


def test_every_pair_leads_a_group_at_most_once_in_an_epoch_and_each_epoch_has_its_own_groups() -> None:
    made = batches(np.arange(2400))
    first = np.concatenate([part.rows for part in made])
    assert len(set(first[::GROUP_SIZE])) == 200
    # The others of a group are any of their prompts' pairs: 2,200 draws from 40 pairs of each of 60 prompts.
    assert len(set(first.reshape(-1, GROUP_SIZE)[:, 1:].flatten())) > 1000
    made.set_epoch(1)
    assert not np.array_equal(first, np.concatenate([part.rows for part in made]))
    fixed = batches(np.arange(2400), seed=None)
    before = np.concatenate([part.rows for part in fixed])
    fixed.set_epoch(1)
    assert np.array_equal(before, np.concatenate([part.rows for part in fixed]))


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_whole_groups_are_dealt_to_the_ranks(num_ranks: int) -> None:
    rows = np.arange(1300)
    whole = list(batches(rows, batch_size=48))
    ranks: list[Iterator] = [
        iter(batches(rows, batch_size=48, rank=rank, num_ranks=num_ranks)) for rank in range(num_ranks)
    ]
    assert len(whole) == len(batches(rows, batch_size=48)) == 27
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert len({len(part.rows) for part in parts}) == 1
        groups = batch.rows.reshape(-1, GROUP_SIZE).tolist()
        found = []
        for part in parts:
            assert part.num_global == len(batch.rows)
            assert np.array_equal(batch.rows[part.places], part.rows)
            weights = part.weights.reshape(-1, GROUP_SIZE)
            assert set(weights.sum(1)) <= {0.0, float(GROUP_SIZE)}
            found += part.rows.reshape(-1, GROUP_SIZE)[weights[:, 0] > 0].tolist()
        assert sorted(found) == sorted(groups)


def test_too_few_prompts_and_cut_groups_are_refused() -> None:
    with pytest.raises(DataError, match="telling 12 prompts apart, and there are pairs of 11"):
        batches(np.arange(11))
    with pytest.raises(ConfigError, match=r"stage\.batch_size=50: .* a multiple"):
        batches(np.arange(2400), batch_size=50)


def batch_of(data: PairData, num_groups: int = 2, rank: int = 0, num_ranks: int = 1) -> PairBatch:
    order = np.concatenate([part.rows for part in data._batches(data.training_rows, 0, 0, 1)])
    return data.dataset[part_of_batch(order[: num_groups * GROUP_SIZE], rank, num_ranks, GROUP_SIZE)]


def module_at(network: LayoutNPNet, done: float | None) -> NoiseTraining:
    """After this share of the training, or validating."""
    module = NoiseTraining(network, LIKELIHOOD, BRIEF, seed=0)
    if done is None:
        return module.eval()
    module.num_steps = 100
    module.__class__ = type("At", (NoiseTraining,), {"global_step": round(100 * done)})
    return module.train()


def by_distributions(network: LayoutNPNet, batch: PairBatch, weight: float) -> Tensor:
    """The docstring's loss, pair by pair, with torch's mixture of Gaussians in float64."""
    coefficients, log_weights = (part.double() for part in network.mixture(batch.prompt_embeds))
    displacements = network.coefficients_of(batch.golden - batch.source).double()
    rank, constant = SMALL.rank, 0.5 * SMALL.rank * math.log(2 * math.pi * VARIANCE)
    losses = []
    for pair, displacement in enumerate(displacements):
        start = pair // GROUP_SIZE * GROUP_SIZE
        densities = []
        for prompt in range(start, start + GROUP_SIZE):
            gaussians = Independent(Normal(coefficients[prompt], VARIANCE**0.5), 1)
            mixture = MixtureSameFamily(Categorical(logits=log_weights[prompt]), gaussians)
            densities.append(mixture.log_prob(displacement) + constant)
        own = densities[pair - start]
        losses.append(-2 * VARIANCE / rank * (own - weight * (torch.logsumexp(torch.stack(densities), 0) - own)))
    return torch.stack(losses)


@pytest.mark.parametrize(
    ("done", "weight"),
    [(0.0, CONTRAST_FROM), (0.4, (CONTRAST_FROM + CONTRAST_TO) / 2), (0.8, CONTRAST_TO), (1.0, CONTRAST_TO)],
)
@torch.no_grad()
def test_the_loss_is_that_of_the_formula(network: LayoutNPNet, data: PairData, done: float, weight: float) -> None:
    batch = batch_of(data)
    losses = module_at(network, done).pair_losses(batch)
    torch.testing.assert_close(losses.double(), by_distributions(network, batch, weight), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_validation_counts_the_contrast_by_its_last_weight(network: LayoutNPNet, data: PairData) -> None:
    batch = batch_of(data)
    validating, last = module_at(network, None), module_at(network, 1.0)
    torch.testing.assert_close(validating.pair_losses(batch), last.pair_losses(batch))


@torch.no_grad()
def test_the_source_itself_is_a_layout_without_anything_in_it(network: LayoutNPNet, data: PairData) -> None:
    batch = batch_of(data)
    losses = LIKELIHOOD.source_losses(network, batch)
    squares = network.coefficients_of(batch.golden - batch.source).square().mean(1)
    expected = squares + 2 * VARIANCE / SMALL.rank * CONTRAST_TO * math.log(GROUP_SIZE)
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_the_mean_gradient_of_the_ranks_is_the_gradient_of_one_process(
    network: LayoutNPNet, data: PairData, num_ranks: int
) -> None:
    def gradient(batch: PairBatch, num_ranks: int) -> Tensor:
        network.zero_grad()
        module_at(network, 0.3).weighted_loss(batch, step=3, num_ranks=num_ranks).backward()
        return torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])

    expected = gradient(batch_of(data, 5), 1)
    parts = [gradient(batch_of(data, 5, rank, num_ranks), num_ranks) for rank in range(num_ranks)]
    torch.testing.assert_close(torch.stack(parts).mean(0), expected, rtol=1e-4, atol=1e-5)


def test_a_network_learns_layouts_of_prompts_it_has_not_seen(tmp_path: Path) -> None:
    reader = write_pairs(tmp_path / "pairs", num_prompts=300)
    options = replace(BRIEF, num_epochs=12, learning_rate=5e-3)
    network, counts = train_npnet(training(reader, tmp_path / "run", options))
    assert isinstance(network, LayoutNPNet)
    assert counts.val_loss < 0.9 * counts.identity_val_loss
    history = pd.read_csv(tmp_path / "run" / "training.csv")
    assert list(history.columns) == ["epoch", "step", "train_loss", "val_loss", "learning_rate", "gradient_norm"]


def test_large_latents_are_fitted_by_fewer_pairs(
    reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []

    def fit_inputs(self: LayoutNPNet, prompt_embeds: Tensor, layouts: Tensor) -> None:  # noqa: ARG001
        fitted.append(len(layouts))

    monkeypatch.setattr(LayoutNPNet, "fit_inputs", fit_inputs)
    numbers = math.prod(reader.latent_shape)
    monkeypatch.setattr("goldennoise.networks.layouts.network.NUMBERS_FITTED", 15 * numbers)
    train_npnet(training(reader, tmp_path, replace(BRIEF, num_epochs=1)))
    assert SMALL.rank <= fitted[0] <= 15 < len(reader)


def test_a_killed_training_ends_with_the_same_weights(
    reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed, _ = trained_whole_and_killed(partial(training, reader), tmp_path, monkeypatch)
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
