"""The error at each noise level, on images that are held out."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from goldennoise.diffusion.conditioning import Conditioning
from goldennoise.diffusion.families.latent_unet import LatentUNet
from goldennoise.diffusion.noise_levels.table import ALMOST_NOISE
from goldennoise.training.denoiser.base import DenoiserLoss, LatentBatch, Levels
from goldennoise.training.denoiser.data import TrainingData

NUM_LEVELS = 12
SEED = 0
"""Of the noise, one for each image, the same at all levels and for every model on latents of a shape."""
AT_ONCE = 64
"""Images at most; fewer where a training step has fewer."""

Told = Callable[[Sequence[Tensor], Tensor], Conditioning]
"""What `DenoiserTraining.told` is."""


@torch.no_grad()
def validation_errors(model: LatentUNet, told: Told, data: TrainingData, loss: DenoiserLoss) -> pd.DataFrame:
    """image, timestep, log_snr, error: see `loss.validation_errors`.

    image: number of the held-out image. timestep: at most `NUM_LEVELS`, see `loss.validation_timesteps`. The networks
    are used as they are; every process computes all of it.
    """
    rows = torch.arange(data.num_training, len(data.latents))
    noise = torch.randn(len(rows), *data.latents.parts[0].shape[1:], generator=torch.Generator().manual_seed(SEED))
    kept = torch.zeros(len(rows), dtype=torch.bool)
    # Not the share of one device: on any number of devices the errors are the same bit for bit.
    at_once = min(AT_ONCE, loss.options.batch_size)
    parts = list(zip(rows.split(at_once), noise.split(at_once), kept.split(at_once), strict=True))
    table = []
    for timestep in loss.validation_timesteps(NUM_LEVELS):
        alpha_bar = float(loss.alpha_bars[timestep])
        errors = []
        for chosen, each, none in parts:
            ones = torch.ones(len(chosen))
            levels = Levels(torch.full((len(chosen),), timestep), ones * alpha_bar, ones)
            clean, token_ids = data.latents[chosen], data.captions(chosen, none)
            batch = LatentBatch(clean, each, levels, token_ids, none, len(chosen)).to(model.device)
            found = loss.validation_errors(model, told(batch.token_ids, batch.dropped), batch)
            errors.append(found.cpu().double())
        signal = max(alpha_bar, ALMOST_NOISE)
        log_snr = float(np.log(signal) - np.log1p(-signal))
        columns = {"timestep": timestep, "log_snr": log_snr, "error": torch.cat(errors).numpy()}
        table.append(pd.DataFrame({"image": np.arange(len(rows))} | columns))
    return pd.concat(table, ignore_index=True)
