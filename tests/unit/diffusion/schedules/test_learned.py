"""A learned schedule: where a chain goes, what it counts, and that a row depends on itself alone."""

from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from tiny import tiny_pipeline
from torch import Tensor
from unit.diffusion.families.test_families import FAMILIES, make_model, shared

from goldennoise.diffusion.plan import Features, SamplingPlan, Step
from goldennoise.diffusion.schedules.fixed import FixedSchedule
from goldennoise.diffusion.schedules.learned import LearnedSchedule
from goldennoise.errors import ModelError
from goldennoise.networks.time_predictor import TimePredictorConfig
from goldennoise.networks.time_predictor.network import TimePredictor, new_predictor
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a star", "a cat"]


@cache
def predictor(width: int) -> TimePredictor:
    """One whose policy depends on what it reads."""
    network = new_predictor(TimePredictorConfig(width, init_alpha=0.5, init_beta=0.5), seed=0).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("weight") and name != "norm1.norm.weight":
                weight.mul_(2)
    return network


def zeros(width: int, num: int) -> Features:
    return Features(torch.zeros(num, 2 * width, 8, 8), torch.zeros(num, width))


@pytest.mark.parametrize(("min_level", "num_steps"), [(0.01, 23), (0.001, 28), (0.5, 4)])
def test_the_initial_chain_is_that_of_the_published_policy(min_level: float, num_steps: int) -> None:
    """Ratio sigmoid(2.5 - 1) at every step; a level below the minimum, and the last allowed step, go to 0."""
    network = new_predictor(TimePredictorConfig(4), seed=0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name != "fc2.bias":
                weight.zero_()
    schedule, level = LearnedSchedule(network, 28, min_level), torch.ones(1, dtype=torch.float64)
    found, number = [1.0], 0
    while level.any():
        level = schedule.next(level, Step(number, torch.tensor([0])), zeros(4, 1))
        found.append(level.item())
        number += 1
    expected = [0.8175745**k for k in range(num_steps)]
    assert found == pytest.approx([*expected, 0.0], rel=1e-5)
    assert found[-1] == 0.0
    assert schedule.taken(1) == [tuple(found)]


def test_every_step_and_every_row_draws_its_own_ratio() -> None:
    network = new_predictor(TimePredictorConfig(4), seed=0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name != "fc2.bias":
                weight.zero_()
    schedule, level = LearnedSchedule(network, 28, 0.01, draws=[5, 6]), torch.ones(2, dtype=torch.float64)
    for number in range(4):
        level = schedule.next(level, Step(number, torch.arange(2)), zeros(4, 2))
    ratios = torch.cat([action.ratio for action in schedule.actions])
    assert len({*ratios.tolist()}) == 8


@pytest.mark.parametrize("kind", FAMILIES)
@torch.no_grad()
def test_every_family_is_sampled_on_it_and_counts_the_evaluations_it_makes(kind: str) -> None:
    model = make_model(shared(kind))
    noise, embedding = gaussian_noise(model.latent_shape, range(4)), model.encode(PROMPTS)
    schedule = LearnedSchedule(predictor(model.feature_width), 9, 0.05, draws=[1, 2, 3, 4])
    before = model.num_evaluations
    latents = model.sample(SamplingPlan(noise, schedule=schedule), embedding)
    chains = schedule.taken(4)
    made = sum(len(chain) - 1 for chain in chains)
    assert model.num_evaluations - before == made * (1 if kind == "flux" else 2)
    assert len({len(chain) for chain in chains}) > 1
    for row, chain in enumerate(chains):
        assert chain[0] == 1.0
        assert chain[-1] == 0.0
        assert all(there < here for here, there in pairwise(chain))
        alone = model.sample(
            SamplingPlan(noise[row : row + 1], schedule=FixedSchedule(chain)), embedding[row : row + 1]
        )
        torch.testing.assert_close(latents[row : row + 1], alone, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_3"])
@pytest.mark.parametrize("drawn", [False, True])
@torch.no_grad()
def test_a_row_depends_on_itself_alone(kind: str, drawn: bool) -> None:
    model = make_model(shared(kind))
    noise, embedding = gaussian_noise(model.latent_shape, range(4)), model.encode(PROMPTS)
    order = torch.tensor([2, 0, 3, 1])

    def chains(rows: Tensor) -> tuple[Tensor, list[tuple[float, ...]]]:
        draws = [10 + row for row in rows.tolist()] if drawn else None
        schedule = LearnedSchedule(predictor(model.feature_width), 9, 0.05, draws)
        latents = model.sample(SamplingPlan(noise[rows], schedule=schedule), embedding[rows])
        return latents, schedule.taken(len(rows))

    together, levels = chains(torch.arange(4))
    for rows in (order, torch.tensor([1]), torch.tensor([3, 0])):
        latents, found = chains(rows)
        torch.testing.assert_close(latents, together[rows], rtol=1e-3, atol=1e-3)
        for place, row in enumerate(rows.tolist()):
            assert found[place] == pytest.approx(levels[row], rel=1e-4)


@torch.no_grad()
def test_features_are_the_denoisers_own_and_guided() -> None:
    model: Any = make_model(shared("stable_diffusion"))
    noise, embedding = gaussian_noise(model.latent_shape, range(2)), model.encode(PROMPTS[:2])
    level, width = torch.full((2,), 0.5, dtype=torch.float64), model.feature_width
    prediction, features = model.predict_with_features(noise, level, embedding, 3.0)
    torch.testing.assert_close(prediction, model.predict_at(noise, level, embedding, 3.0), rtol=0, atol=1e-6)
    unet, timestep = model.network, torch.tensor(499.0)
    assert features.maps.shape == (2, 2 * width, *noise.shape[2:])
    torch.testing.assert_close(features.maps[:, :width], unet.conv_in(noise), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(features.time, unet.time_proj(timestep.expand(2)), rtol=1e-5, atol=1e-6)
    # The last layer is linear, so it turns guided features into the guided prediction.
    torch.testing.assert_close(unet.conv_out(features.maps[:, width:]), prediction, rtol=1e-4, atol=1e-5)
    assert not unet.conv_in._forward_hooks
    assert not unet.conv_out._forward_pre_hooks


@pytest.mark.parametrize("kind", ["stable_diffusion_3", "flux", "sana"])
@torch.no_grad()
def test_tokens_lie_in_raster_order(kind: str) -> None:
    """Noise that differs in one patch differs in one place of the first features."""
    model: Any = make_model(shared(kind))
    noise, embedding = gaussian_noise(model.latent_shape, [0]), model.encode(PROMPTS[:1])
    patch, width = model.patch_size, model.feature_width
    other = noise.clone()
    other[:, :, 2 * patch : 3 * patch, patch : 2 * patch] += 1
    level = torch.full((1,), 0.7, dtype=torch.float64)
    first, second = (model.predict_with_features(each, level, embedding, 1.0)[1] for each in (noise, other))
    differs = (first.maps - second.maps)[0, :width].abs().amax(dim=0) > 1e-6
    assert differs.nonzero().tolist() == [[2, 1]]


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_network_is_refused(in_place: bool) -> None:
    """It would run past the hooks."""
    pipe = tiny_pipeline()
    if in_place:
        pipe.unet.compile(backend="eager")
    else:
        pipe.unet = torch.compile(pipe.unet, backend="eager")
    with pytest.raises(ModelError, match=r"does not show its features.*compute\.compile=false"):
        assert make_model(pipe).feature_width


def test_a_network_that_gives_no_numbers_is_refused() -> None:
    network = new_predictor(TimePredictorConfig(4), seed=0)
    with torch.no_grad():
        network.fc2.bias.fill_(200.0)
    schedule = LearnedSchedule(network, 28, 0.01)
    with pytest.raises(ModelError, match="numbers that are not finite"):
        schedule.next(torch.ones(1, dtype=torch.float64), Step(0, torch.tensor([0])), zeros(4, 1))
