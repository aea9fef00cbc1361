"""What a scorer is: a number for how good an image is for a prompt."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Scorer(Protocol):
    """Scores images against prompts, in any batch; batch = single.

    `version` names the weights and rules that decide a score: scores of different versions are never mixed.
    """

    name: str
    version: str
    higher_is_better: bool
    unit: str
    differentiable: bool

    def score(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """One finite float per pair, (B,) on the CPU. images: (B, 3, height, width), float in [0, 1]."""
        ...
