"""What a text encoder makes of prompts, kept: in an evaluation every prompt returns with every method and seed."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def num_cut(tokenize: Callable[[list[str], int], Tensor], num_tokens: int, texts: Sequence[str]) -> int:
    """How many texts have more than `num_tokens` tokens.

    tokenize: texts, number of tokens -> ids, (B, number), cut or padded to it. Of a text that is cut the last place is
    its end, and not its next word.
    """
    cut, longer = (tokenize(list(texts), number) for number in (num_tokens, num_tokens + 1))
    return int((cut != longer[:, :num_tokens]).any(dim=1).sum())


def padded(tokenizer: Any) -> Callable[[list[str], int], Tensor]:
    """What `num_cut` needs, of a tokenizer of transformers."""

    def tokenize(texts: list[str], num_tokens: int) -> Tensor:
        found = tokenizer(texts, padding="max_length", truncation=True, max_length=num_tokens, return_tensors="pt")
        return found.input_ids

    return tokenize


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
