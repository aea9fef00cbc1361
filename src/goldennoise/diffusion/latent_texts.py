"""From prompts to what the denoiser is told: what a pipeline's tokenizers and text encoders do."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from goldennoise.diffusion.conditioning import Conditioning
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.text_options import TextOptions, of_negative
from goldennoise.errors import ModelError, require

logger = logging.getLogger(__name__)


class LatentTexts(ABC):
    """`encode` of a `DiffusionModel`, on the tokenizers and text encoders of `_pipe`.

    `num_truncated` counts the prompts that no text encoder could take whole. `extra` of an embedding holds each further
    part of the conditioning twice: "name", and "uncond_name" without prompt.
    """

    tokenizers: tuple[str, ...] = ("tokenizer",)
    text_encoders: tuple[str, ...] = ("text_encoder",)
    text_options: tuple[str, ...] = ()
    """Further arguments of the pipeline that `encode` takes, those of the negative prompt last."""
    padding_side: str | None = None
    """Where tokens are padded, None for the tokenizers' own side."""

    _pipe: Any
    _negative_prompt: str | None
    device: torch.device
    name: str
    num_truncated: int

    def encode(self, prompts: Sequence[str], options: TextOptions | None = None) -> PromptEmbedding:
        """options: of `text_options`, as `read_options` gives them.

        Raises `ConfigError` where clip_skip skips more layers than a text encoder has.
        """
        options = options or {}
        self._pipe.maybe_free_model_hooks()  # offloaded, the denoiser is to make room where nothing was decoded
        given = self._encode(prompts, options)
        negative = self._encode_negative(given, of_negative(options))
        without = {name: part.expand_as(given[name]) for name, part in negative.items()}
        cond, uncond = given.pop("text"), without.pop("text")
        return PromptEmbedding(cond, uncond, given | {f"uncond_{name}": part for name, part in without.items()})

    @abstractmethod
    def _encode(self, prompts: Sequence[str], options: TextOptions) -> Conditioning:
        """What the prompts tell the denoiser; "text" (B, tokens, dim) is what `cond` of the embedding is."""

    def _encode_negative(self, given: Conditioning, options: TextOptions) -> Conditioning:  # noqa: ARG002
        """What the pass without the prompt is told instead: one row, or as many as `given` has."""
        return self._encode([self._negative_prompt or ""], options)

    def _no_negative_prompt(self) -> ModelError:
        return ModelError(f"{self.name} takes guidance as an input, so a negative prompt does nothing: leave it out.")

    def _tokens(self, prompts: Sequence[str], options: TextOptions, lengths: Sequence[int] | None = None) -> list[Any]:
        """Token ids and attention masks (B, tokens) of each tokenizer, the second reading "prompt_2" of the options.

        lengths: to pad and cut to, None for each tokenizer's own. A prompt that none of them takes whole counts as
        truncated, with a warning.
        """
        tokens: list[Any] = []
        cut = set(range(len(prompts)))
        tokenizers = [getattr(self._pipe, name) for name in self.tokenizers]
        lengths = lengths or [tokenizer.model_max_length for tokenizer in tokenizers]
        for number, (tokenizer, length) in enumerate(zip(tokenizers, lengths, strict=True), start=1):
            texts = self._texts(options.get(f"prompt_{number}", prompts), tokenizer)
            cut &= {row for row, text in enumerate(texts) if len(tokenizer(text, verbose=False).input_ids) > length}
            padded = tokenizer(
                texts,
                padding="max_length",
                max_length=length,
                truncation=True,
                padding_side=self.padding_side,
                return_tensors="pt",
            )
            tokens.append(padded.to(self.device))
        if cut:
            self.num_truncated += len(cut)
            logger.warning(
                "%d of %d prompts are longer than the %d tokens %s reads; the rest is cut off, first in: %s",
                len(cut), len(prompts), max(lengths), self.name, prompts[min(cut)],
            )  # fmt: skip
        return tokens

    def _texts(self, prompts: Sequence[str], tokenizer: Any) -> list[str]:  # noqa: ARG002
        """The prompts as the tokenizer is to read them."""
        return list(prompts)


def hidden_states(output: Any, clip_skip: int, last: int) -> torch.Tensor:
    """Those (B, tokens, dim) of a text encoder `clip_skip` layers before the `last` (-1, -2) that its family reads."""
    most = len(output.hidden_states) + last
    require(clip_skip <= most, "clip_skip", clip_skip, f"between 0 and {most}")
    return output.hidden_states[last - clip_skip]
