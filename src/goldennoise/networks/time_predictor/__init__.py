"""The network that predicts a sampler's next noise level: the time prediction module of TPDM (arXiv 2412.01243).

It predicts no noise, so `npnet=` does not have it. Imports no torch.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from goldennoise.errors import ConfigError, ModelError, shortened
from goldennoise.store.options import POSITIVE, Options, either, number, option

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = "goldennoise-time-predictor-1"
LAYOUTS = ("raster", "published")
"""Of the tokens of a transformer as an image: row by row, or as the published code of Stable Diffusion 3 reads them."""

BIAS = number(least=-10, most=10)
"""Beyond it float32 no longer tells alpha or beta from 1, or their density overflows."""


@dataclass(frozen=True)
class TimePredictorConfig(Options):
    """Sizes of `network.TimePredictor`, the schedule that it predicts before it has learnt anything, and how its
    schedules were sampled in training."""

    width: int = option(1, number(least=1))
    """D: channels of the first and of the last features of the denoiser, and of its time embedding."""
    init_alpha: float = option(2.5, BIAS)
    """Bias a of alpha = 1 + exp(a), as in the published launch script."""
    init_beta: float = option(1.0, BIAS)
    """Bias b of beta = 1 + exp(b). The mode of the ratio is then sigmoid(a - b), 0.8176 with the defaults."""
    layout: str = option("raster", either(*LAYOUTS))
    """How tokens lie in the image that the network reads, of `LAYOUTS`; "published" is for imported weights."""
    max_steps: int = option(28, number(least=1))
    """Steps of a chain at most."""
    min_level: float = option(0.01, number(above=0, below=1))
    """A noise level below it is the end of a chain, in (0, 1)."""
    guidance: float | None = option(None, POSITIVE)
    """Guidance scale of the denoiser whose features it learnt to read, above 0; null where nobody knows."""


def read_config(file: Path) -> TimePredictorConfig:
    """What `save_time_predictor` wrote. Raises `ModelError` for a file that is missing or says something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise KeyError("format")
        return TimePredictorConfig(**content["network"])
    except FileNotFoundError:
        raise ModelError(f"{file} does not exist: a time predictor's folder holds {WEIGHTS} and {CONFIG}.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ConfigError) as error:
        why = shortened(f"{type(error).__name__}: {error}", 200)
        raise ModelError(f"{file} is no configuration of a time predictor ({why}): copy or train it again.") from error
