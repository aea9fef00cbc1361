"""The public API, which `goldennoise` itself offers: golden noise and noise levels for a diffusers pipeline, scores."""

from goldennoise.api.golden_noise import GoldenNoise, re_denoise
from goldennoise.api.schedules import Sampled, noise_levels, sample
from goldennoise.api.scores import load_scores
from goldennoise.networks.checkpoint import load_npnet
from goldennoise.networks.time_predictor.checkpoint import load_time_predictor

__all__ = [
    "GoldenNoise",
    "Sampled",
    "load_npnet",
    "load_scores",
    "load_time_predictor",
    "noise_levels",
    "re_denoise",
    "sample",
]
