"""Training of the policy: rewards, advantages, the clipped ratio, and where a reward leads."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TinyModel
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import Features
from goldennoise.errors import ConfigError, ModelError
from goldennoise.methods.search.selector import Selector
from goldennoise.networks.time_predictor import TimePredictorConfig
from goldennoise.networks.time_predictor.network import new_predictor
from goldennoise.networks.time_predictor.policy import BetaPolicy
from goldennoise.training.time_prediction import loop
from goldennoise.training.time_prediction.levels import shared_levels
from goldennoise.training.time_prediction.loop import Training, _prompts_of, rewards_of, train_time_predictor
from goldennoise.training.time_prediction.options import TimePredictionOptions
from goldennoise.training.time_prediction.rollouts import Chains, Seen, advantages, discounted, rollouts
from goldennoise.training.time_prediction.update import improve

PROMPTS = [Prompt.of(text) for text in ("red", "blue", "green", "a star")]
BRIEF = TimePredictionOptions(
    discount=None, step_price=0.5, num_updates=3, prompts_per_update=2, num_rollouts=3, max_steps=12, min_level=0.05
)


@dataclass
class Constant:
    """Gives every image the same score, so that the steps alone are paid for; or noise, where nothing is."""

    spread: float = 0.0
    name: str = "constant"
    higher_is_better: bool = True
    differentiable: bool = False

    def score(self, images: Tensor, prompts: Any) -> Tensor:  # noqa: ARG002
        return 1 + self.spread * images.flatten(1).double().sum(1).mul(1e3).frac().float()


def test_the_published_reward_is_a_discounted_mean() -> None:
    steps = torch.tensor([5.0, 10, 14, 15, 20, 28])
    factors = discounted(torch.ones(6), steps, 0.97)
    assert factors.tolist() == pytest.approx([0.942, 0.875, 0.827, 0.815, 0.760, 0.683], abs=6e-4)
    exact = [(1 - 0.97**n) / (n * 0.03) for n in steps.tolist()]
    assert factors.tolist() == pytest.approx(exact, rel=1e-6)
    assert discounted(torch.tensor([2.0]), torch.tensor([3.0]), 1.0).item() == 2


@pytest.mark.parametrize("score", [0.0, -0.5])
def test_scores_that_a_discount_would_turn_around_are_refused(score: float) -> None:
    with pytest.raises(ConfigError, match=r"stage\.discount=0\.97: .* set stage\.discount=null stage\.step_price="):
        discounted(torch.tensor([1.0, score]), torch.tensor([3.0, 4.0]), 0.97)


def test_an_advantage_is_against_the_other_chains_of_the_prompt() -> None:
    found = advantages(torch.tensor([1.0, 2.0, 6.0, 5.0, 5.0, 5.0]), 3)
    assert found.tolist() == [1 - 4, 2 - 3.5, 6 - 1.5, 0, 0, 0]
    assert found.view(2, 3).sum(1).tolist() == [0, 0]


def test_the_gradient_of_the_policy_is_that_of_the_expected_reward() -> None:
    """One step, reward r: E[r] = alpha / (alpha + beta), with respect to (a, b) of alpha = 1 + e^a."""
    num = 100_000
    shapes = torch.tensor([0.7, -0.2], requires_grad=True)
    alpha, beta = 1 + shapes.exp()
    ratio = BetaPolicy(alpha.detach().expand(num), beta.detach().expand(num)).draw(range(num))
    (exact,) = torch.autograd.grad(alpha / (alpha + beta), shapes, retain_graph=True)
    log_probs = BetaPolicy(alpha.expand(num), beta.expand(num)).log_prob(ratio)
    advantage = advantages(ratio, 4)
    (mean,) = torch.autograd.grad((log_probs * advantage).mean(), shapes, retain_graph=True)
    with torch.no_grad():
        common = torch.digamma(alpha + beta)
        slopes = [ratio.log() - torch.digamma(alpha) + common, (1 - ratio).log() - torch.digamma(beta) + common]
        each = torch.stack(slopes) * advantage * shapes.exp()[:, None]
    errors = each.std(dim=1) / num**0.5
    assert mean.tolist() == pytest.approx(each.mean(dim=1).tolist(), rel=1e-3, abs=1e-5)
    assert ((mean - exact).abs() < 3 * errors).all()


def chains_of(network: Any, num: int, steps: int) -> Chains:
    generator = torch.Generator().manual_seed(0)
    rows, seen = torch.arange(num), []
    for step in range(steps):
        features = Features(torch.randn(num, 8, 8, 8, generator=generator), torch.randn(num, 4, generator=generator))
        with torch.no_grad():
            ratio = BetaPolicy(*network(features.maps, features.time)).draw(range(step * num, (step + 1) * num))
        seen.append(Seen(rows, features, ratio))
    return Chains(seen, torch.zeros(num), torch.full((num,), float(steps)))


def test_before_the_first_step_of_the_optimiser_no_probability_has_moved() -> None:
    network = new_predictor(TimePredictorConfig(4), seed=0)
    chains = chains_of(network, 20, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    vitals = improve(network, optimizer, chains, torch.linspace(-1, 1, 20), BRIEF)
    assert (vitals.divergence, vitals.clip_fraction) == (0.0, 0.0)


def test_the_clip_holds_a_policy_that_would_run_away() -> None:
    """Beyond the clip a chain of positive advantage has no gradient."""
    network = new_predictor(TimePredictorConfig(4), seed=0)
    chains, advantage = chains_of(network, 20, 3), torch.ones(20)
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    far = {}
    for clip in (1e-6, 0.9):
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(before[name])
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        improve(network, optimizer, chains, advantage, replace(BRIEF, clip=clip, num_epochs=8, gradient_clip=0.1))
        far[clip] = sum((weight - before[name]).norm() for name, weight in network.named_parameters()).item()
    assert far[1e-6] < 0.5 * far[0.9]


def test_a_ratio_that_is_no_number_is_refused() -> None:
    network = new_predictor(TimePredictorConfig(4), seed=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e12)
    with pytest.raises(ModelError, match=r"not finite: lower stage\.learning_rate"):
        improve(network, optimizer, chains_of(network, 8, 2), torch.linspace(-1, 1, 8), BRIEF)


def ratios_of(chains: Chains, row: int) -> Tensor:
    return torch.cat([step.ratio[step.rows == row] for step in chains.steps])


def test_chains_depend_on_their_prompts_and_not_on_the_batch() -> None:
    network = new_predictor(TimePredictorConfig(TinyModel().feature_width), seed=0)
    options = replace(BRIEF, max_steps=28)
    whole, cut = (
        rollouts(TinyModel(), Selector(Constant()), network, PROMPTS, options, 0, 1, size) for size in (12, 5)
    )
    assert whole.num_steps.tolist() == cut.num_steps.tolist()
    for row in range(12):
        torch.testing.assert_close(ratios_of(whole, row), ratios_of(cut, row))
        assert len(ratios_of(whole, row)) == whole.num_steps[row] < 28
    alone = rollouts(TinyModel(), Selector(Constant()), network, PROMPTS[2:3], options, 0, 1, 12)
    torch.testing.assert_close(ratios_of(alone, 1), ratios_of(whole, 7))
    later = rollouts(TinyModel(), Selector(Constant()), network, PROMPTS[2:3], options, 0, 2, 12)
    assert ratios_of(later, 1)[0] != ratios_of(alone, 1)[0]
    assert len({ratios_of(whole, row)[0].item() for row in range(12)}) == 12


def test_a_later_update_draws_other_ratios() -> None:
    """Also of a policy that reads nothing, whose ratios are those of the draws alone."""
    network = new_predictor(TimePredictorConfig(TinyModel().feature_width), seed=0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name != "fc2.bias":
                weight.zero_()
    first, later = (
        rollouts(TinyModel(), Selector(Constant()), network, PROMPTS[:1], BRIEF, 0, update, 12) for update in (0, 1)
    )
    drawn = [ratios_of(chains, row)[0].item() for chains in (first, later) for row in range(3)]
    assert len({*drawn}) == 6


def test_a_step_costs_its_price_in_deviations_of_the_score() -> None:
    chains = Chains([], torch.tensor([10.0, 12.0]), torch.tensor([4.0, 10.0]))
    options = TimePredictionOptions(discount=None, step_price=0.1)
    assert rewards_of(chains, options, 5.0).tolist() == [10 - 4 * 0.5, 12 - 10 * 0.5]
    published = TimePredictionOptions(discount=0.97, step_price=None)
    assert rewards_of(chains, published, 5.0).tolist() == discounted(chains.scores, chains.num_steps, 0.97).tolist()


def test_the_last_allowed_step_counts_and_teaches_nothing() -> None:
    network = new_predictor(TimePredictorConfig(TinyModel().feature_width), seed=0)
    options = replace(BRIEF, max_steps=3)
    chains = rollouts(TinyModel(), Selector(Constant()), network, PROMPTS, options, 0, 1, 12)
    assert chains.num_steps.tolist() == [3.0] * 12
    assert {len(ratios_of(chains, row)) for row in range(12)} == {2}


def test_an_update_has_different_prompts_and_a_round_has_them_all_in_turn() -> None:
    found = [[prompt.text for prompt in _prompts_of(PROMPTS, 2, 0, update)] for update in range(4)]
    assert {*found[0], *found[1]} == {*found[2], *found[3]} == {prompt.text for prompt in PROMPTS}
    assert found[:2] != found[2:]
    assert all(len({*(p.text for p in _prompts_of(PROMPTS, 3, 0, update))}) == 3 for update in range(6))


def training(folder: Path, options: TimePredictionOptions, scorer: Constant | None = None) -> Training:
    return Training(TinyModel(), Selector(scorer or Constant()), PROMPTS, options, folder, seed=0, batch_size=12)


def steps_of(folder: Path, options: TimePredictionOptions, scorer: Constant) -> list[float]:
    rows: list[float] = []
    train_time_predictor(training(folder, options, scorer), lambda row: rows.append(row["num_steps"]))
    return rows


def test_a_price_on_steps_shortens_chains(tmp_path: Path) -> None:
    options = replace(BRIEF, num_updates=25, num_rollouts=8, learning_rate=3e-3, max_steps=28)
    steps = steps_of(tmp_path, options, Constant())
    assert sum(steps[-3:]) < 0.8 * sum(steps[:3])


@pytest.mark.slow
def test_a_reward_that_takes_no_notice_of_steps_keeps_their_number(tmp_path: Path) -> None:
    options = replace(BRIEF, step_price=0.0, num_updates=25, num_rollouts=8, max_steps=28)
    steps = torch.tensor(steps_of(tmp_path, options, Constant(spread=1.0)))
    error = (steps[:5].var() / 5 + steps[-5:].var() / 5) ** 0.5
    assert abs(steps[-5:].mean() - steps[:5].mean()) < 3 * error


def test_a_killed_training_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_time_predictor(training(tmp_path / "whole", BRIEF, Constant(1.0)), lambda _: None)

    def dies(*arguments: Any) -> Chains:
        if arguments[6] == 2:
            raise KeyboardInterrupt
        return rollouts(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "rollouts", dies)
        with pytest.raises(KeyboardInterrupt):
            train_time_predictor(training(tmp_path / "killed", BRIEF, Constant(1.0)), lambda _: None)
    seen: list[float] = []
    resumed = train_time_predictor(
        training(tmp_path / "killed", BRIEF, Constant(1.0)), lambda row: seen.append(row["update"])
    )
    assert seen == [3]
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight)
    progress = [(tmp_path / name / loop.PROGRESS).read_bytes() for name in ("whole", "killed")]
    assert progress[0] == progress[1]


def test_the_shared_schedule_is_the_geometric_mean_at_equal_shares_of_the_steps() -> None:
    chosen = [(1.0, 0.4, 0.16, 0.0), (1.0, 0.9, 0.5, 0.0), (1.0, 0.6, 0.3, 0.0)]
    assert shared_levels(chosen) == pytest.approx((1.0, (0.4 * 0.9 * 0.6) ** (1 / 3), (0.16 * 0.15) ** (1 / 3), 0.0))
    # Of chains of 2 and 4 steps, 3 steps: the short one counts half way between 1 and 0.25.
    assert shared_levels([(1.0, 0.25, 0.0), (1.0, 0.5, 0.2, 0.1, 0.0)]) == pytest.approx(
        (1.0, (0.5 * (0.5 * 0.2) ** 0.5) ** 0.5, (0.25 * 0.1) ** 0.5, 0.0)
    )
    assert shared_levels([(1.0, 0.0)]) == (1.0, 0.0)


@pytest.mark.parametrize(
    "chosen",
    [[(1.0, 0.1, 0.0), (1.0, 0.9, 0.8, 0.7, 0.0)], [(1.0, 0.3, 0.02, 0.0)] * 6 + [(1.0, 0.9, 0.8, 0.7, 0.6, 0.0)] * 2],
)
def test_the_shared_schedule_falls_whatever_the_lengths(chosen: list[tuple[float, ...]]) -> None:
    levels = shared_levels(chosen)
    assert all(here > there for here, there in pairwise(levels))
    assert len(levels) - 1 == round(sum(len(chain) - 1 for chain in chosen) / len(chosen) + 1e-9)


def test_a_discount_and_a_price_exclude_each_other() -> None:
    for pair in ({"discount": 0.9, "step_price": 0.1}, {"discount": None, "step_price": None}):
        with pytest.raises(ConfigError, match="step_price must be null beside a discount"):
            TimePredictionOptions(**pair)
