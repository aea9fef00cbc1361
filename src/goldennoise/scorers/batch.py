"""Every scorer's judgement of a batch of images."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.errors import ScorerError
from goldennoise.scorers.protocol import Scorer, require_scores


def score_batch(
    scorers: Mapping[str, Scorer], images: Tensor, prompts: Sequence[Prompt], called: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Every scorer's scores, (B,). images: (B, 3, height, width) in [0, 1]; called: what a message calls each of them.

    Raises `ScorerError` naming the images for a scorer that refuses them, or a score that is missing or not finite.
    """
    found = {}
    for name, scorer in scorers.items():
        try:
            with torch.no_grad():
                scores = scorer.score(images, prompts)
        except ScorerError as error:
            given = called[0] if len(called) == 1 else f"{len(called)} images, {called[0]} to {called[-1]}"
            raise ScorerError(f"{error} (it was given {given})") from None
        require_scores(name, scores, called)
        found[name] = scores.cpu().double().numpy()
    return found
