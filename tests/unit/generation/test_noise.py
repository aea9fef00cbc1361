"""Statistics of noise: what N(0, I) has, and what they say of noise that is none."""

import numpy as np
import pytest
import torch
from torch import Tensor

from goldennoise.generation.noise import BANDS, STATISTICS, noise_statistics
from goldennoise.runtime.seeding import gaussian_noise

EXPECTED = {"norm": 1.0, "mean": 0.0, "variance": 1.0, "autocorrelation": 0.0} | dict.fromkeys(BANDS, 1.0)


def gaussian(num: int = 200) -> Tensor:
    return gaussian_noise((4, 16, 16), range(num))


def test_gaussian_noise_has_the_values_it_should() -> None:
    found = noise_statistics(gaussian())
    assert list(found) == list(STATISTICS)
    for name, value in EXPECTED.items():
        error = float(found[name].std()) / len(found[name]) ** 0.5
        assert abs(float(found[name].mean()) - value) < 4 * error
    # Bounds, so gaussian noise is hardly ever suspected.
    assert float(found["gaussianity"].min()) > -1.5


def smooth(noise: Tensor) -> Tensor:
    blurred = noise + noise.roll(1, 2) + noise.roll(1, 3)
    return blurred / 3**0.5


def wave(frequency: float) -> Tensor:
    """Of `frequency` in (0, 0.5] cycles a latent along the rows."""
    return torch.cos(2 * torch.pi * frequency * torch.arange(16))


@pytest.mark.parametrize(
    ("broken", "name", "direction"),
    [
        (lambda noise: 1.2 * noise, "norm", 1),
        (lambda noise: 0.8 * noise, "variance", -1),
        (lambda noise: noise + 0.2, "mean", 1),
        (smooth, "autocorrelation", 1),
        (smooth, "low_frequency", 1),
        (smooth, "high_frequency", -1),
        (lambda noise: noise - noise.roll(1, 3), "autocorrelation", -1),
        (lambda noise: noise + wave(3 / 16), "middle_frequency", 1),
    ],
)
def test_what_is_broken_shows(broken, name: str, direction: int) -> None:  # type: ignore[no-untyped-def]
    sound, found = noise_statistics(gaussian()), noise_statistics(broken(gaussian()))
    worst = sound[name].max() if direction > 0 else sound[name].min()
    assert direction * (float(found[name].mean()) - float(worst)) > 0


@pytest.mark.parametrize("broken", [lambda noise: noise + 0.3, lambda noise: 1.5 * noise, lambda noise: 0.3 * noise])
def test_far_from_gaussian_has_a_tiny_bound(broken) -> None:  # type: ignore[no-untyped-def]
    assert float(noise_statistics(broken(gaussian()))["gaussianity"].max()) < -3


def test_the_bound_equals_the_formulas() -> None:
    """Direct Noise Optimization, section 4, by numpy: a shift for which the order given is the worst."""
    flat = (gaussian(1)[0].flatten().double() + 0.25 * torch.tensor([1.0, 0.0]).repeat(512)).numpy()
    blocks = flat.reshape(512, 2)
    of_mean = np.linalg.norm(blocks.mean(axis=0))
    of_moment = np.linalg.norm(blocks.T @ blocks / 512 - np.eye(2), 2)
    bounds = [
        2 * np.exp(-512 * of_mean**2 / 4),
        2 * np.exp(-512 * max(np.sqrt(1 + of_moment) - 1 - np.sqrt(2 / 512), 0) ** 2 / 2),
    ]
    found = noise_statistics(torch.from_numpy(flat).view(1, 4, 16, 16))["gaussianity"]
    assert float(found) == pytest.approx(np.log10(min(*bounds, 1)), rel=1e-6)


def test_rows_do_not_meet() -> None:
    noise = gaussian(3) * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
    together = noise_statistics(noise)
    for row in range(3):
        for name, values in noise_statistics(noise[row : row + 1]).items():
            torch.testing.assert_close(values[0], together[name][row])
