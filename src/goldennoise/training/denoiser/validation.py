"""The denoising error at each noise level, on images that are held out."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from goldennoise.training.denoiser.data import TrainingData
from goldennoise.training.denoiser.loss import NoiseLevelLoss

NUM_LEVELS = 12
SEED = 0
"""Of the noise, one for each image, the same at all levels and for every model on latents of a shape."""
AT_ONCE = 64
"""Images at most; fewer where a training step has fewer."""

Output = Callable[[Tensor, Tensor, Sequence[Tensor], Tensor], Tensor]
"""What `DenoiserTraining.output` is."""


@torch.no_grad()
def validation_errors(
    output_of: Output, data: TrainingData, loss: NoiseLevelLoss, device: torch.device
) -> pd.DataFrame:
    """image, timestep, log_snr, error: the squared error of the predicted noise, mean over dimensions.

    image: number of the held-out image. timestep: the middle of each of `NUM_LEVELS` equal parts of the training
    schedule. The networks are used as they are; every process computes all of it.
    """
    rows = torch.arange(data.num_training, len(data.latents))
    noise = torch.randn(len(rows), *data.latents.parts[0].shape[1:], generator=torch.Generator().manual_seed(SEED))
    kept = torch.zeros(len(rows), dtype=torch.bool)
    # Not the share of one device: on any number of devices the errors are the same bit for bit.
    at_once = min(AT_ONCE, loss.options.batch_size)
    parts = list(zip(rows.split(at_once), noise.split(at_once), kept.split(at_once), strict=True))
    table = []
    for timestep in ((np.arange(NUM_LEVELS) + 0.5) / NUM_LEVELS * len(loss.alpha_bars)).astype(int).tolist():
        alpha_bar = float(loss.alpha_bars[timestep])
        errors = []
        for chosen, each, none in parts:
            clean, drawn = data.latents[chosen].to(device), each.to(device)
            token_ids = [ids.to(device) for ids in data.captions(chosen, none)]
            alpha_bars = clean.new_full((len(clean),), alpha_bar)
            timesteps = torch.full((len(clean),), timestep, device=device)
            output = output_of(loss.noised(clean, drawn, alpha_bars), timesteps, token_ids, none.to(device))
            found = loss.errors(output, clean, drawn, alpha_bars)
            errors.append(loss.of_epsilon(found, alpha_bars).cpu().double())
        log_snr = float(np.log(alpha_bar) - np.log1p(-alpha_bar))
        columns = {"timestep": timestep, "log_snr": log_snr, "error": torch.cat(errors).numpy()}
        table.append(pd.DataFrame({"image": np.arange(len(rows))} | columns))
    return pd.concat(table, ignore_index=True)
