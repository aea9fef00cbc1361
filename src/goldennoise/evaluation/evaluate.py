"""One part of the grid: sample, keep the images, score what is kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.evaluation.cost import Cost
from goldennoise.evaluation.generate import Sample, generate
from goldennoise.evaluation.parts import COST_COLUMNS, Part, write_images, write_table
from goldennoise.methods.base import Method
from goldennoise.scorers.protocol import Scorer, require_scores


def evaluate_part(
    folder: Path,
    part: Part,
    model: DiffusionModel,
    method: Method,
    scorers: Mapping[str, Scorer],
    root_seed: int,
    batch_size: int,
    progress: Callable[[int], None],
) -> None:
    """Write the part's images and table. `progress` is told how many images each batch has added.

    Scorers see the images as they are kept, in 8 bits, so anybody can score an artifact's images again.
    """
    costs, scores = [], []
    for start in range(0, len(part.samples), batch_size):
        samples = part.samples[start : start + batch_size]
        pixels, cost = generate(model, method, samples, root_seed)
        write_images(folder, part, start, pixels.permute(0, 2, 3, 1).numpy())
        scores.append(score_samples(scorers, pixels.float() / 255, samples))
        costs.append(_shares(cost, len(samples)))
        progress(len(samples))
    joined = {scorer: np.concatenate([batch[scorer] for batch in scores]) for scorer in scorers}
    write_table(folder, part, pd.concat(costs), joined)


def score_samples(
    scorers: Mapping[str, Scorer], images: Tensor, samples: Sequence[Sample]
) -> dict[str, NDArray[np.float64]]:
    """Every scorer's scores, (B,). Raises ScorerError for a missing or non-finite score."""
    prompts = [sample.prompt.text for sample in samples]
    names = [f'"{sample.prompt.text}" with seed {sample.seed}' for sample in samples]
    found = {}
    for name, scorer in scorers.items():
        with torch.no_grad():
            scores = scorer.score(images, prompts)
        require_scores(name, scores, names)
        found[name] = scores.cpu().double().numpy()
    return found


def _shares(cost: Cost, num_samples: int) -> pd.DataFrame:
    row = (cost.num_evaluations / num_samples, cost.seconds / num_samples, cost.peak_memory_bytes, cost.memory)
    table = pd.DataFrame([row] * num_samples, columns=COST_COLUMNS)
    return table.astype({"peak_memory_bytes": "Int64"})
