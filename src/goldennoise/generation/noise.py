"""Golden noise looked at as noise: whether it could still be a draw from N(0, I), which the model was trained on."""

import math

import torch
from torch import Tensor

BANDS = {"low_frequency": (0.0, 0.25), "middle_frequency": (0.25, 0.5), "high_frequency": (0.5, math.inf)}
"""Shares of the Nyquist frequency, from and below, between which the higher of a frequency's two directions lies."""
STATISTICS = {
    "norm": "norm / √d",
    "mean": "mean",
    "variance": "variance",
    "autocorrelation": "autocorrelation",
    "low_frequency": "low frequencies",
    "middle_frequency": "middle frequencies",
    "high_frequency": "high frequencies",
    "gaussianity": "log10 bound",
}
"""Statistic -> its title in the report."""
BLOCK = 2
NUM_PERMUTATIONS = 16


def noise_statistics(noise: Tensor) -> dict[str, Tensor]:
    """One number per sample (B,), float64 on the CPU, for noise (B, C, h, w).

    norm: over sqrt(d), about 1. mean, variance: of all entries, about 0 and 1. autocorrelation: of spatial neighbours,
    right and below, about 0. low_frequency, middle_frequency, high_frequency: mean power in each of `BANDS` of spatial
    frequencies over that of all, about 1. gaussianity: see `gaussianity`, about 0.
    """
    wide = noise.detach().cpu().double()
    flat = wide.flatten(1)
    mean, variance = flat.mean(dim=1), flat.var(dim=1, correction=0)
    return {
        "norm": flat.norm(dim=1) / math.sqrt(flat.shape[1]),
        "mean": mean,
        "variance": variance,
        "autocorrelation": _autocorrelation(wide - mean.view(-1, 1, 1, 1), variance),
        **_spectrum(wide),
        "gaussianity": gaussianity(flat),
    }


def _autocorrelation(centred: Tensor, variance: Tensor) -> Tensor:
    right = (centred[..., :, :-1] * centred[..., :, 1:]).flatten(1)
    below = (centred[..., :-1, :] * centred[..., 1:, :]).flatten(1)
    return torch.cat([right, below], dim=1).mean(dim=1) / variance.clamp(min=1e-30)


def _spectrum(noise: Tensor) -> dict[str, Tensor]:
    power = torch.fft.fft2(noise).abs().square().mean(dim=1)
    rows, columns = (2 * torch.fft.fftfreq(size).abs() for size in noise.shape[-2:])
    frequency = torch.maximum(rows[:, None], columns[None, :])
    overall = power.flatten(1).mean(dim=1).clamp(min=1e-30)
    return {
        name: power[:, (start <= frequency) & (frequency < end)].mean(dim=1) / overall
        for name, (start, end) in BANDS.items()
    }


def gaussianity(flat: Tensor) -> Tensor:
    """log10 of the smallest bound on the probability that N(0, I) deviates as much as `flat` (B, d): (B,), at most 0.

    In blocks of k = 2 entries, in the order given and in fixed permutations: bounds on the length of the blocks' mean
    and on the spectral norm of their second moment minus I (Direct Noise Optimization, arXiv 2405.18881, section 4).
    They are loose: 0 is no evidence against, and what is strongly negative is no draw from N(0, I).
    """
    num = flat.shape[1] // BLOCK
    generator = torch.Generator().manual_seed(0)
    orders = [torch.arange(flat.shape[1])]
    orders += [torch.randperm(flat.shape[1], generator=generator) for _ in range(NUM_PERMUTATIONS)]
    smallest = torch.zeros(len(flat), dtype=flat.dtype)
    for order in orders:
        blocks = flat[:, order[: num * BLOCK]].view(len(flat), num, BLOCK)
        mean = blocks.mean(dim=1).norm(dim=1)
        moment = blocks.mT @ blocks / num - torch.eye(BLOCK, dtype=flat.dtype)
        excess = (1 + torch.linalg.matrix_norm(moment, ord=2)).sqrt() - 1 - math.sqrt(BLOCK / num)
        of_mean = math.log(2) - num * mean.square() / (2 * BLOCK)
        of_moment = math.log(2) - num * excess.clamp(min=0).square() / 2
        smallest = torch.minimum(smallest, torch.minimum(of_mean, of_moment))
    return smallest / math.log(10)
