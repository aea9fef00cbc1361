"""Noise levels as training draws them: the same draws for all densities, and objectives that stay what they are."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from tiny import tiny_scheduler
from torch import Tensor

from goldennoise.diffusion.noise_levels import configured
from goldennoise.errors import ConfigError
from goldennoise.training.denoiser.base import Levels
from goldennoise.training.denoiser.loss import NoiseLevelLoss
from goldennoise.training.denoiser.options import DenoiserOptions

ALPHA_BARS = tiny_scheduler().alphas_cumprod
NUM, SHAPE = 20_000, (1, 2, 2)


def loss_of(
    kind: str, prediction: str = "epsilon", alpha_bars: Tensor = ALPHA_BARS, **options: object
) -> NoiseLevelLoss:
    chosen = DenoiserOptions(**({"loss_weight": "none"} | options))  # type: ignore[arg-type]
    return NoiseLevelLoss(alpha_bars, prediction, configured(kind, {}), chosen)


def drawn(loss: NoiseLevelLoss) -> tuple[Tensor, Tensor, Levels]:
    draw, levels = loss.draw(torch.Generator().manual_seed(0), NUM, 10, SHAPE)
    return draw.rows, draw.noise, levels


def weighted_errors(loss: NoiseLevelLoss) -> Tensor:
    """(NUM,) of a frozen network that predicts a tenth of its input too much, on latents of variance 4."""
    rows, noise, levels = drawn(loss)
    clean = 2 * torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(1))[rows]
    noisy = loss.noised(clean, noise, levels.alpha_bars)
    errors = loss.errors(noise + 0.1 * noisy, clean, noise, levels.alpha_bars)
    return (levels.weights * errors).double()


@pytest.mark.parametrize("kind", ["cosine", "cauchy", "edm", "logit_normal"])
@pytest.mark.parametrize("loss_weight", ["none", "inverse_root_snr"])
def test_keep_leaves_the_expected_loss_of_uniform_timesteps(kind: str, loss_weight: str) -> None:
    uniform = weighted_errors(loss_of("uniform", loss_weight=loss_weight))
    kept = weighted_errors(loss_of(kind, weighting="keep", loss_weight=loss_weight))
    other = weighted_errors(loss_of(kind, loss_weight=loss_weight))
    difference = kept - uniform
    standard_error = float(difference.std()) / NUM**0.5
    assert abs(float(difference.mean())) < 3 * standard_error
    assert abs(float((other - uniform).mean())) > 3 * standard_error


def test_uniform_timesteps_learn_the_loss_of_a_density_by_weights() -> None:
    drawn_from_it = weighted_errors(loss_of("laplace"))
    weighted = weighted_errors(loss_of("uniform", loss_levels={"kind": "laplace", "mean": 0.0, "scale": 0.5}))
    difference = weighted - drawn_from_it
    assert abs(float(difference.mean())) < 3 * float(difference.std()) / NUM**0.5
    assert weighted.var() > 2 * drawn_from_it.var()


def test_a_loss_weight_by_importance_sampling_has_the_same_expected_loss_and_less_variance() -> None:
    weighted = weighted_errors(loss_of("uniform", loss_weight="inverse_root_snr"))
    sampled = weighted_errors(loss_of("uniform_snr_power"))
    # What is drawn is normalised: the factor is the mean of the weight.
    difference = weighted - sampled * float(((1 - ALPHA_BARS) / ALPHA_BARS).sqrt().mean())
    assert abs(float(difference.mean())) < 3 * float(difference.std()) / NUM**0.5
    assert weighted.std() / weighted.mean() > 1.2 * sampled.std() / sampled.mean()


def test_all_densities_see_the_same_images_noises_and_ranks() -> None:
    first, second = (drawn(loss_of(kind)) for kind in ("uniform", "laplace"))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    whole, real = first[2].timesteps, second[2].timesteps
    assert not whole.is_floating_point()
    # A share of noise time: the noisier one draw is under one density, the noisier it is under another.
    order = whole.argsort(stable=True)
    assert (np.diff(real[order].numpy()[:: NUM // 50]) >= 0).all()


def test_real_timesteps_have_their_own_alpha_bar() -> None:
    _, _, levels = drawn(loss_of("laplace"))
    below, part = levels.timesteps.long(), levels.timesteps % 1
    log_snrs = torch.logit(ALPHA_BARS.double())
    expected = torch.lerp(log_snrs[below], log_snrs[(below + 1).clamp(max=999)], part.double())
    torch.testing.assert_close(torch.logit(levels.alpha_bars.double()), expected, rtol=0, atol=2e-3)
    assert float(part.std()) > 0.2
    assert levels.weights.eq(1).all()


def test_v_is_finite_where_there_is_noise_alone() -> None:
    alpha_bars = tiny_scheduler(rescale_betas_zero_snr=True).alphas_cumprod
    loss = loss_of("uniform", "v_prediction", alpha_bars, zero_terminal=True)
    clean, noise = torch.full((1, *SHAPE), 2.0), torch.randn(1, *SHAPE)
    last = alpha_bars[-1:]
    assert last == 0
    assert torch.equal(loss.noised(clean, noise, last), noise)
    assert loss.errors(-clean, clean, noise, last) == 0
    assert drawn(loss_of("laplace", "v_prediction", alpha_bars))[2].timesteps.max() < 999


def test_a_weight_is_finite_where_there_is_noise_alone() -> None:
    alpha_bars = tiny_scheduler(rescale_betas_zero_snr=True).alphas_cumprod
    levels = {"kind": "laplace", "scale": 0.5}
    weights = drawn(loss_of("uniform", "v_prediction", alpha_bars, zero_terminal=True, loss_levels=levels))[2].weights
    assert weights.isfinite().all()


@pytest.mark.parametrize("scheduler", [DDIMScheduler, EulerDiscreteScheduler])
@pytest.mark.parametrize(
    ("prediction", "loss_weight", "message"),
    [
        ("epsilon", "none", "set stage.prediction=v_prediction"),
        ("v_prediction", "inverse_root_snr", "set stage.loss_weight=none"),
    ],
)
def test_a_model_that_has_zero_terminal_snr_already_needs_a_loss_for_it(
    scheduler: Any, prediction: str, loss_weight: str, message: str
) -> None:
    alpha_bars = scheduler.from_config(tiny_scheduler(rescale_betas_zero_snr=True).config).alphas_cumprod
    with pytest.raises(ConfigError, match=message):
        loss_of("uniform", prediction, alpha_bars, loss_weight=loss_weight)
    loss_of("uniform", "v_prediction", alpha_bars)


def test_the_error_of_v_is_told_as_that_of_the_noise() -> None:
    clean, noise, off = (torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    alpha_bars = torch.tensor([0.9, 0.5, 0.3, 0.1, 0.01])
    signal = alpha_bars.view(-1, 1, 1, 1)
    v_loss, epsilon_loss = loss_of("uniform", "v_prediction"), loss_of("uniform")
    output = signal.sqrt() * noise - (1 - signal).sqrt() * clean + off
    # epsilon = sqrt(a) v + sqrt(1 - a) x
    noisy = v_loss.noised(clean, noise, alpha_bars)
    epsilon = signal.sqrt() * output + (1 - signal).sqrt() * noisy
    told = v_loss.of_epsilon(v_loss.errors(output, clean, noise, alpha_bars), alpha_bars)
    torch.testing.assert_close(told, epsilon_loss.errors(epsilon, clean, noise, alpha_bars))
