"""What a scorer is: a number for how good an image is for a prompt."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from goldennoise.data.prompts import Prompt
from goldennoise.errors import ConfigError, ScorerError

if TYPE_CHECKING:
    from torch import Tensor

DIRECTION = {True: "higher is better", False: "lower is better", None: "neither end is better"}
"""In words, by `Scorer.higher_is_better`."""
SHARE = "share right"
"""Unit of scorers that give 1 (right) or 0 (wrong) per image. Units that end so are written in per cent."""


class Scorer(Protocol):
    """Scores images against prompts, in any batch; batch = single.

    `version` names the weights and rules that decide a score: scores of different versions are never mixed.
    A scorer may also have `continuous` and `usual`, see `is_continuous` and `usual_range`.
    """

    name: str
    version: str
    higher_is_better: bool | None
    """None for a description, such as a lightness, of which neither end is better; it may not select."""
    unit: str
    differentiable: bool
    may_select: bool
    """Whether it may choose noises and filter pairs; one that may not only reports, so that it stays a fair judge."""

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """One finite float per pair, (B,) on the CPU. images: (B, 3, height, width), float in [0, 1]."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """A scorer that also says where an image lies among images, by which diversity is measured."""

    def embed(self, images: "Tensor") -> "Tensor":
        """Features (B, dim) on the CPU of images (B, 3, height, width) in [0, 1]; their cosine is a likeness."""
        ...


@runtime_checkable
class TextReader(Protocol):
    """A scorer whose text encoder reads the first `num_tokens` tokens of a prompt, begin and end included."""

    num_tokens: int

    def num_cut(self, prompts: Sequence[Prompt]) -> int:
        """How many of the prompts are longer."""
        ...


def is_continuous(scorer: Scorer) -> bool:
    """Whether different images get different scores: what the scorer's attribute `continuous` says, where it has one.

    Without it a scorer is continuous, unless its unit is a share of what is right.
    """
    return bool(getattr(scorer, "continuous", not scorer.unit.endswith(SHARE)))


def usual_range(scorer: Scorer) -> tuple[float, float] | None:
    """Between which values scores of today's models usually lie: the scorer's attribute `usual`; None without it."""
    return getattr(scorer, "usual", None)


def refuse_reporting_only(scorer: Scorer, option: str) -> None:
    """Raise `ConfigError` if `scorer`, chosen by `option`, may not select."""
    if not scorer.may_select:
        raise ConfigError(
            f"{option}={scorer.name}: {scorer.name} only reports; what selects or filters must be another scorer, "
            "or nothing fair is left to judge with"
        )


def require_scores(name: str, scores: "Tensor", images: Sequence[str]) -> None:
    """Raise `ScorerError` unless `scores` is (B,) and finite. images: what a message calls each of the B images."""
    shape = getattr(scores, "shape", None)
    if shape != (len(images),):
        given = f"{type(scores).__name__}, no tensor," if shape is None else f"scores of shape {tuple(shape)}"
        raise ScorerError(f"scorer {name} gives {given} for {len(images)} images; give one each")
    for image, score in zip(images, scores.tolist(), strict=True):
        if not math.isfinite(score):
            raise ScorerError(
                f"scorer {name} gives {score} for {image}; a score must be finite: leave the scorer out, or mend it"
            )
