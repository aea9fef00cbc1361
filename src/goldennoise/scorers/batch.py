"""Every scorer's judgement of a batch of images."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.errors import ScorerError
from goldennoise.scorers.protocol import Scorer, is_continuous, require_scores


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


class Canary:
    """Stops a run by a scorer that gives every image the same score, before the work is done.

    A scorer is trusted once it has told two images apart. The first batch that holds two different images decides.
    Scorers whose scores are few by nature, such as right or wrong, are not judged.
    """

    def __init__(self, scorers: Mapping[str, Scorer]) -> None:
        self._unproven = {name for name, scorer in scorers.items() if is_continuous(scorer)}

    def __call__(self, images: Tensor, scores: Mapping[str, NDArray[np.float64]], called: Sequence[str]) -> None:
        """Raise `ScorerError` for a batch as `score_batch` takes it and the scores that it gave."""
        for name in sorted(self._unproven):
            first = scores[name][0]
            if (scores[name] != first).any():
                self._unproven.remove(name)
            elif bool((images != images[:1]).any()):
                raise ScorerError(
                    f"scorer {name} gives {first:g} for all {len(called)} images from {called[0]} to {called[-1]}, "
                    "which differ, so it tells nothing: mend it or leave it out; one whose scores are few by nature "
                    "says so by its attribute continuous = False"
                )
