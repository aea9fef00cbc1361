"""What NPNet can be trained for: each loss by hand, and that it moves the noise where it should."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler
from tiny import TinyModel, as_prompts, tiny_pipeline
from torch import Tensor
from unit.methods.searching import PROMPTS, Greenness
from unit.training.learnable import BRIEF, SMALL, FakeModel

from goldennoise.data.pairs.reader import PairReader
from goldennoise.diffusion.families.latent_unet import StableDiffusion
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.runtime.seeding import derive_seed, gaussian_noise
from goldennoise.training import objectives
from goldennoise.training.engine.batches import part_of_batch
from goldennoise.training.engine.data import PairBatch, PairData, PairDataset
from goldennoise.training.engine.fit import Training, train_npnet
from goldennoise.training.engine.trainer import Setting
from goldennoise.training.objectives.gain_weighted import Loss as GainWeighted
from goldennoise.training.objectives.regression import Loss as Regression
from goldennoise.training.objectives.reward import Loss as Reward


def make_batch() -> PairBatch:
    source, golden = gaussian_noise((4, 8, 8), [1, 2, 3]), gaussian_noise((4, 8, 8), [4, 5, 6])
    nothing = torch.zeros(3)
    gains = torch.tensor([0.5, 1.0, 1.5])
    return PairBatch(source, golden, nothing, (), PROMPTS, gains, torch.ones(3), torch.arange(3), 3, [7, 8, 9])


def test_regression_is_the_mean_squared_error() -> None:
    batch = make_batch()
    predicted = batch.source + 0.3
    expected = torch.nn.functional.mse_loss(predicted, batch.golden, reduction="none").mean((1, 2, 3))
    torch.testing.assert_close(Regression(BRIEF).losses(predicted, batch), expected)
    torch.testing.assert_close(GainWeighted(BRIEF).losses(predicted, batch), torch.tensor([0.5, 1.0, 1.5]) * expected)


def test_gains_are_those_of_the_pairs_over_their_mean(data: PairData) -> None:
    index = data.dataset.reader.index.iloc[data.dataset.rows]
    gains = (index["score_golden"] - index["score_source"]).to_numpy()
    rows = np.array([3, 0, 5])
    batch = data.dataset[part_of_batch(rows, 0, 1)]
    np.testing.assert_allclose(batch.gains, (gains / gains.mean())[rows], rtol=1e-6)
    assert batch.prompts == index["prompt"].iloc[rows].tolist()


@pytest.mark.parametrize(
    ("gains", "weights"),
    [([-4.0, -3.0, 1.0, 3.0], [0.0, 0.0, 1.0, 3.0]), ([-4.0, -3.0, -1.0, 0.0], [1.0, 1.0, 1.0, 1.0])],
)
def test_pairs_that_lost_weigh_nothing_unless_none_gained(
    reader: PairReader, data: PairData, gains: list[float], weights: list[float]
) -> None:
    rows = np.arange(4)
    index = SimpleNamespace(index=reader.index.iloc[rows].assign(gain=gains))
    assert PairDataset(index, rows, data.dataset.inputs).gains.tolist() == weights  # type: ignore[arg-type]


def test_the_reward_is_the_score_through_few_steps_and_the_distance_from_the_source() -> None:
    model, batch = TinyModel(num_steps=9), make_batch()
    predicted = batch.source + 0.1 * batch.golden
    options = replace(BRIEF, reward_steps=3, reward_weight=0.02)
    losses = Reward(options, model, Greenness()).losses(predicted, batch)
    embedding = model.encode(PROMPTS)
    scores = Greenness().score(
        model.decode(model.sample(SamplingPlan(predicted, num_steps=3), embedding)), as_prompts(PROMPTS)
    )
    distance = (0.1 * batch.golden).square().mean((1, 2, 3))
    torch.testing.assert_close(losses, 0.5 * distance - 0.02 * scores)


def test_the_clip_bounds_the_gradient_of_each_score_and_leaves_that_of_the_distance() -> None:
    model, batch = TinyModel(), make_batch()
    gradients = {}
    for clip in (None, 1e9, 1e-3):
        noise = (batch.source + 0.1 * batch.golden).requires_grad_(True)
        options = replace(BRIEF, reward_steps=2, reward_weight=0.5, reward_clip=clip)
        losses = Reward(options, model, Greenness()).losses(noise, batch)
        losses.sum().backward()
        assert noise.grad is not None
        distance = 0.1 * batch.golden / batch.source[0].numel()
        gradients[clip] = (noise.grad - distance) / -0.5
    unclipped = gradients[None].flatten(1).norm(dim=1)
    torch.testing.assert_close(gradients[1e9], gradients[None])
    assert (unclipped > 2e-3).all()
    expected = gradients[None] * (1e-3 / unclipped).view(-1, 1, 1, 1)
    torch.testing.assert_close(gradients[1e-3], expected, rtol=1e-3, atol=1e-7)


def test_a_stochastic_sampler_is_rewarded_for_its_own_steps_with_other_draws_at_every_step() -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    model = StableDiffusion(pipe, name="tiny", num_steps=3, guidance=1.0)
    objective = Reward(replace(BRIEF, reward_steps=2, reward_weight=1.0), model, Greenness())
    batch = make_batch()
    with torch.no_grad():
        losses = objective.losses(batch.source, batch)
        embedding = model.encode(PROMPTS)
        latents = model.sample(SamplingPlan(batch.source, num_steps=2), embedding, batch.step_seeds)
        scores = Greenness().score(model.decode(latents), as_prompts(PROMPTS))
    torch.testing.assert_close(losses, -scores)
    first, again, second = (objective.drawn(batch, 0, step).step_seeds for step in (1, 1, 2))
    assert first == again
    assert len({*first, *second, *batch.step_seeds}) == 9
    # In one step nothing is drawn.
    with torch.no_grad():
        single = Reward(replace(BRIEF, reward_steps=1, reward_weight=1.0), model, Greenness())
        torch.testing.assert_close(
            single.losses(batch.source, batch), single.losses(batch.source, batch._replace(step_seeds=first))
        )
        assert not torch.equal(losses, objective.losses(batch.source, batch._replace(step_seeds=first)))


def test_draws_of_a_pair_are_those_of_its_sample_in_eval(data: PairData) -> None:
    index = data.dataset.reader.index.iloc[data.dataset.rows]
    rows = np.array([3, 0, 5])
    chosen = index.iloc[rows]
    expected = [derive_seed(0, "steps", *sample) for sample in zip(chosen["prompt_id"], chosen["seed"], strict=True)]
    assert data.dataset[part_of_batch(rows, 0, 1)].step_seeds == expected


def test_descending_the_reward_raises_the_score_and_a_small_weight_holds_it_back() -> None:
    model, batch = TinyModel(), make_batch()
    embedding = model.encode(PROMPTS)

    def optimised(weight: float) -> Tensor:
        noise = batch.source.clone().requires_grad_(True)
        optimizer = torch.optim.SGD([noise], lr=20.0)
        for _ in range(10):
            optimizer.zero_grad()
            options = replace(BRIEF, reward_steps=4, reward_weight=weight)
            Reward(options, model, Greenness()).losses(noise, batch).sum().backward()
            optimizer.step()
        return noise.detach()

    def scores(noise: Tensor) -> Tensor:
        return Greenness().score(model.decode(model.sample(SamplingPlan(noise), embedding)), as_prompts(PROMPTS))

    weak, strong = optimised(0.001), optimised(0.05)
    assert (scores(strong) > scores(weak)).all()
    assert (scores(weak) > scores(batch.source)).all()
    assert float((strong - batch.source).norm()) > float((weak - batch.source).norm())


@pytest.mark.parametrize("name", ["regression", "gain_weighted"])
def test_a_network_learns_for_its_objective(reader: PairReader, tmp_path: Path, name: str) -> None:
    options = replace(BRIEF, objective=name, num_epochs=8)
    objective, setting = objectives.component(name).Loss(options), Setting(progress_bar=False)
    _, counts = train_npnet(Training(reader, FakeModel(), SMALL, options, objective, tmp_path, setting=setting))
    assert counts.val_loss < 0.9 * counts.identity_val_loss


def test_the_identity_loss_is_that_of_predicting_the_source(reader: PairReader, data: PairData, tmp_path: Path) -> None:
    options, setting = replace(BRIEF, num_epochs=1), Setting(progress_bar=False)
    _, counts = train_npnet(
        Training(reader, FakeModel(), SMALL, options, Regression(options), tmp_path, setting=setting)
    )
    source, golden = data.dataset.reader.noise(data.dataset.rows[data.validation_rows])
    assert counts.identity_val_loss == pytest.approx(torch.nn.functional.mse_loss(source, golden).item())
