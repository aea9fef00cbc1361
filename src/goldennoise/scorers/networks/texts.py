"""What a text encoder makes of prompts, kept: in an evaluation every prompt returns with every method and seed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class KeptTexts:
    """Features per prompt; when more than `num_kept` prompts have been seen, the oldest are forgotten."""

    def __init__(self, encode: Callable[[list[str]], Tensor], num_kept: int = 8192) -> None:
        """encode: prompts -> features (B, ...), each row from its own prompt alone."""
        self._encode = encode
        self._num_kept = num_kept
        self._kept: dict[str, Tensor] = {}

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Features (B, ...), without gradients."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._kept]
        if new:
            with torch.no_grad():
                self._kept.update(zip(new, self._encode(new), strict=True))
        features = torch.stack([self._kept[prompt] for prompt in prompts])
        for prompt in list(self._kept)[: -self._num_kept]:
            del self._kept[prompt]
        return features
