"""FIND's parts against torch.distributions, and the whole against plain REINFORCE."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import TinyModel, as_prompts
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from unit.methods.searching import Greenness

from goldennoise.config.compose import load
from goldennoise.data.prompts import Prompt
from goldennoise.errors import ConfigError
from goldennoise.methods.find import Config, Find
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.search.policy import NoisePolicy, PolicyUpdate, surrogate
from goldennoise.methods.search.selector import Selector
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = [f"prompt {number}" for number in range(8)]


class Offset(Greenness):
    """With an offset, as real scores have."""

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        return 20 + 0.1 * super().score(images, prompts)


def make_policy() -> NoisePolicy:
    policy = NoisePolicy((2, 4, 8, 8), torch.device("cpu"))
    with torch.no_grad():
        policy.mu.copy_(gaussian_noise((4, 8, 8), [1, 2]))
        policy.log_sigma.copy_(0.3 * gaussian_noise((4, 8, 8), [3, 4]))
    return policy


def make_batch() -> SampleBatch:
    model = TinyModel()
    source = gaussian_noise(model.latent_shape, range(len(PROMPTS)))
    return SampleBatch(as_prompts(PROMPTS), list(range(len(PROMPTS))), model.encode(PROMPTS), source)


def test_the_policy_is_the_distribution_it_says() -> None:
    policy = make_policy()
    normal = Normal(policy.mu, policy.log_sigma.exp())
    noise = torch.stack([gaussian_noise((4, 8, 8), [5, 6]), gaussian_noise((4, 8, 8), [7, 8])])
    torch.testing.assert_close(policy.log_prob(noise), normal.log_prob(noise).flatten(2).sum(2))
    standard = Normal(torch.zeros_like(policy.mu), torch.ones_like(policy.mu))
    torch.testing.assert_close(policy.divergence(), kl_divergence(normal, standard).flatten(1).mean(1))
    torch.testing.assert_close(policy.draw(noise), policy.mu + policy.log_sigma.exp() * noise)


def test_sigma_stays_above_its_floor() -> None:
    policy = make_policy()
    with torch.no_grad():
        policy.log_sigma.fill_(-50.0)
    assert float(policy.sigma.detach().min()) == pytest.approx(1e-4)
    assert torch.isfinite(policy.log_prob(policy.draw(torch.ones(1, 2, 4, 8, 8)))).all()


def test_latents_as_large_as_those_of_sdxl_keep_the_policy_finite() -> None:
    policy = NoisePolicy((2, 4, 128, 128), torch.device("cpu"))
    names = ("learning_rate", "num_epochs", "ratio_clip", "policy_weight", "kl_weight")
    update = PolicyUpdate(policy, **{name: getattr(Config(), name) for name in names})
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        noise = policy.draw(torch.randn(4, 2, 4, 128, 128, generator=generator))
        figures = update(noise, torch.randn(4, 2, generator=generator))
        assert all(math.isfinite(figure) for figure in figures.values())
    assert torch.isfinite(policy.mu).all()
    assert torch.isfinite(policy.log_sigma).all()


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "slope"),
    [(0.1, 1.0, 1.0), (0.3, 1.0, 0.0), (-0.3, 1.0, 1.0), (0.3, -1.0, 1.0), (-0.3, -1.0, 0.0), (-0.1, -1.0, 1.0)],
)
def test_the_clip_stops_steps_that_have_gone_far_enough(log_ratio: float, advantage: float, slope: float) -> None:
    """Schulman et al. 2017, figure 1: no gradient where the ratio has passed 1 +- 0.2 in the advantage's direction."""
    log_prob = torch.tensor([[log_ratio]], requires_grad=True)
    gain = surrogate(log_prob, torch.zeros(1, 1), torch.tensor([[advantage]]), 0.2)
    (gradient,) = torch.autograd.grad(gain.sum(), log_prob)
    assert float(gradient) == pytest.approx(slope * advantage * float(torch.tensor(log_ratio).exp()))


@pytest.mark.parametrize("log_ratio", [0.3, -0.3, 0.1])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_the_plain_clamp_stops_every_step_outside_its_bounds(log_ratio: float, advantage: float) -> None:
    log_prob = torch.tensor([[log_ratio]], requires_grad=True)
    gain = surrogate(log_prob, torch.zeros(1, 1), torch.tensor([[advantage]]), 0.2, "clamp")
    assert float(gain.detach()) == pytest.approx(advantage * min(max(math.exp(log_ratio), 0.8), 1.2))
    (gradient,) = torch.autograd.grad(gain.sum(), log_prob)
    assert float(gradient) == pytest.approx(advantage * math.exp(log_ratio) if abs(log_ratio) < 0.15 else 0.0)


def learnt_by_hand(
    noise: Tensor, advantages: Tensor, *, surrogate: str, regulariser: str, momentum: float, parameter: str
) -> tuple[Tensor, Tensor]:
    """mu and sigma after two batches of three steps on the loss as the paper's code writes it, in torch.distributions.

    One sample; noise (2, C, h, w) is in units of the policy, advantages (2,). Means over dimensions become sums in the
    log-probability, and so in the regulariser.
    """
    mu = torch.zeros(noise.shape[1:], requires_grad=True)
    free = torch.full_like(mu, float(parameter == "sigma")).requires_grad_(True)
    optimizer = torch.optim.Adam([mu, free], lr=0.05, betas=(momentum, 0.999))
    for _ in range(2):
        actions: Tensor | None = None
        for _ in range(3):
            normal = Normal(mu, free if parameter == "sigma" else free.exp())
            if actions is None:
                actions = (normal.mean + normal.stddev * noise).detach()
                old = normal.log_prob(actions).sum((1, 2, 3)).detach()
            ratio = (normal.log_prob(actions).sum((1, 2, 3)) - old).exp()
            gain = ratio.clamp(0.8, 1.2) * advantages
            if surrogate == "min":
                gain = torch.minimum(gain, ratio * advantages)
            if regulariser == "kl":
                penalty = kl_divergence(normal, Normal(0.0, 1.0)).sum()
            else:
                penalty = (mu.square() + (normal.stddev - 1).square()).sum()
            optimizer.zero_grad()
            (-10 * gain.mean() + 0.5 * penalty).backward()
            optimizer.step()
    return mu.detach(), (free if parameter == "sigma" else free.exp()).detach()


TODAY = {"surrogate": "min", "regulariser": "kl", "momentum": 0.0, "parameter": "log_sigma"}
PUBLISHED = {"surrogate": "clamp", "regulariser": "moments", "momentum": 0.9, "parameter": "sigma"}
ONE_EACH = [TODAY | {option: value} for option, value in PUBLISHED.items()]


@pytest.mark.parametrize("options", [TODAY, *ONE_EACH, PUBLISHED])
def test_an_update_is_the_loss_written_out(options: dict[str, Any]) -> None:
    noise, advantages = gaussian_noise((1, 2, 2), [5, 6]), torch.tensor([1.0, -2.0])
    policy = NoisePolicy((1, 1, 2, 2), torch.device("cpu"), options["parameter"])
    shared = {"learning_rate": 0.05, "num_epochs": 3, "ratio_clip": 0.2, "policy_weight": 10.0, "kl_weight": 0.5}
    update = PolicyUpdate(policy, **shared, **{key: value for key, value in options.items() if key != "parameter"})
    for _ in range(2):
        update(policy.draw(noise[:, None]), advantages[:, None])
    mu, sigma = learnt_by_hand(noise, advantages, **options)
    torch.testing.assert_close(policy.mu.detach()[0], mu, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(policy.sigma.detach()[0], sigma, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", ONE_EACH)
def test_every_option_reaches_the_policy(options: dict[str, Any]) -> None:
    def golden(options: dict[str, Any]) -> Tensor:
        config = Config(num_updates=2, learning_rate=0.05, kl_weight=5.0, **options)
        return Find(config, Selector(Offset())).golden(TinyModel(), make_batch())

    assert (golden(options) - golden(TODAY)).abs().max() > 1e-4
    torch.testing.assert_close(golden({}), golden(TODAY), rtol=0, atol=0)


def test_a_sigma_that_is_learnt_itself_stops_at_its_floor_and_can_rise_again() -> None:
    policy = NoisePolicy((1, 1, 2, 2), torch.device("cpu"), "sigma")
    update = PolicyUpdate(policy, learning_rate=2.0, num_epochs=1, ratio_clip=None, policy_weight=10.0, kl_weight=0.0)
    update(policy.draw(torch.zeros(1, 1, 1, 2, 2)), torch.ones(1, 1))
    assert policy.sigma.detach().flatten().tolist() == pytest.approx([1e-4] * 4)
    update(torch.ones(1, 1, 1, 2, 2), torch.ones(1, 1))
    assert (policy.sigma.detach() > 1).all()


def test_the_published_preset_samples_once_an_update() -> None:
    config = load(["method=[find_published]"]).method["find_published"]
    published = Config(
        num_updates=150, num_rollouts=1, num_epochs=1, calibration="value", ratio_clip=0.2, policy_weight=10.0,
        kl_weight=0.01, learning_rate=1e-3, value_learning_rate=1e-4, scorer="imagereward", **PUBLISHED,
    )  # fmt: skip
    assert config == published
    model = TinyModel()
    Find(replace(config, num_updates=3), Selector(Offset())).golden(model, make_batch())
    assert model.num_evaluations == len(PROMPTS) * 3 * model.num_steps * 2


def test_without_a_clip_it_is_reinforce() -> None:
    policy = make_policy()
    noise = torch.stack([gaussian_noise((4, 8, 8), [5, 6]), gaussian_noise((4, 8, 8), [7, 8])])
    advantages = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    gain = surrogate(policy.log_prob(noise), torch.zeros(2, 2), advantages, None).sum()
    (gradient,) = torch.autograd.grad(gain, policy.mu)
    score_function = (noise - policy.mu) / policy.sigma.square()
    expected = (score_function * advantages.view(2, 2, 1, 1, 1)).mean(0)
    torch.testing.assert_close(gradient, expected.detach())


def test_an_update_prefers_what_was_rewarded() -> None:
    policy = NoisePolicy((2, 4, 8, 8), torch.device("cpu"))
    update = PolicyUpdate(policy, learning_rate=1e-2, num_epochs=3, ratio_clip=0.2, policy_weight=10.0, kl_weight=0.01)
    noise = torch.stack([gaussian_noise((4, 8, 8), [5, 6]), gaussian_noise((4, 8, 8), [7, 8])])
    before = policy.log_prob(noise).detach()
    figures = update(noise, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    change = policy.log_prob(noise).detach() - before
    assert (change[0] - change[1])[0] > 0 > (change[0] - change[1])[1]
    assert figures["kl"] > 0
    assert figures["abs_mu"] > 0


def test_the_steps_of_a_batch_end_where_the_clip_stops_them() -> None:
    noise = torch.stack([gaussian_noise((4, 8, 8), [5, 6]), gaussian_noise((4, 8, 8), [7, 8])])

    def learnt(num_epochs: int) -> Tensor:
        policy = NoisePolicy((2, 4, 8, 8), torch.device("cpu"))
        update = PolicyUpdate(
            policy, learning_rate=1e-2, num_epochs=num_epochs, ratio_clip=0.2, policy_weight=10.0, kl_weight=0.0
        )
        update(noise, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        return policy.mu.detach()

    assert learnt(1).abs().mean() > 5e-3
    torch.testing.assert_close(learnt(4), learnt(1), rtol=0, atol=0)


@pytest.mark.parametrize(("kl_weight", "direction"), [(1.0, 1), (10.0, -1)])
def test_the_divergence_weighs_against_the_rewards_of_as_many_dimensions(kl_weight: float, direction: int) -> None:
    """Where mu is 1 and a rewarded noise half a sigma above it, the slope in mu is kl_weight - 10 x 0.5."""
    policy = NoisePolicy((1, 4, 8, 8), torch.device("cpu"))
    with torch.no_grad():
        policy.mu.fill_(1.0)
    update = PolicyUpdate(
        policy, learning_rate=1e-2, num_epochs=1, ratio_clip=0.2, policy_weight=10.0, kl_weight=kl_weight
    )
    update(torch.full((1, 1, 4, 8, 8), 1.5), torch.ones(1, 1))
    assert torch.all((policy.mu - 1.0).sign() == direction)


@pytest.mark.slow
@pytest.mark.parametrize("calibration", ["value", "leave_one_out"])
def test_find_beats_plain_reinforce_on_the_same_budget(calibration: str) -> None:
    """The ablation: no calibration, no clipping, one step a batch; gains in the reward over eight samples."""
    batch = make_batch()

    def gain(**settings: object) -> float:
        config = Config(num_updates=12, num_rollouts=6, learning_rate=2e-2, **settings)  # type: ignore[arg-type]
        golden = Find(config, Selector(Offset())).golden(TinyModel(), batch)
        return float((Selector(Offset()).of_noise(TinyModel(), golden, batch) - standard).mean())

    standard = Selector(Offset()).of_noise(TinyModel(), batch.source, batch)
    plain = gain(calibration="none", ratio_clip=None, num_epochs=1)
    ours = gain(calibration=calibration)
    assert ours > 0
    assert ours > plain + 0.05


def test_every_update_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        Find(Config(num_updates=2), Selector(Offset())).golden(TinyModel(), make_batch())
    assert len(caplog.records) == 2
    for figure in ("reward", "ratio", "kl", "abs_mu", "sigma"):
        assert figure in caplog.text


def test_leaving_one_out_needs_two() -> None:
    with pytest.raises(ConfigError, match=r"num_rollouts=1.*at least 2"):
        Config(calibration="leave_one_out", num_rollouts=1)
