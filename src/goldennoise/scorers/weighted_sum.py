"""A weighted sum of scorers, such as the reward of ReNO (arXiv 2406.04312)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise import scorers
from goldennoise.data.prompts import Prompt
from goldennoise.errors import ConfigError, require
from goldennoise.scorers.options import joined
from goldennoise.scorers.protocol import Scorer, is_continuous, require_scores

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which scorers, with which weights."""

    kind: str = "weighted_sum"
    parts: dict[str, float]
    """Kind of scorer -> weight above 0, on the part's own scale; each part has its default options."""

    def __post_init__(self) -> None:
        require(bool(self.parts), "parts", self.parts, "at least one scorer with its weight, as in {shapes_clip: 1.0}")
        for kind, weight in self.parts.items():
            if kind == self.kind:
                raise ConfigError(f"parts.{kind}: a weighted sum cannot be a part; give the weights of its parts here")
            scorers.component(kind)
            require(0 < weight < float("inf"), f"parts.{kind}", weight, "a finite weight above 0")


class WeightedSum:
    """Higher is better: a part whose lower scores are better is subtracted."""

    name = "weighted_sum"
    higher_is_better = True
    unit = "weighted sum"

    def __init__(self, parts: Sequence[tuple[float, Scorer]]) -> None:
        """parts: weight and scorer, added in this order."""
        self._parts = [(weight if scorer.higher_is_better else -weight, scorer) for weight, scorer in parts]
        self.version = " ".join(f"{weight} {scorer.name}@{scorer.version}" for weight, scorer in parts)
        self.differentiable = all(scorer.differentiable for _, scorer in parts)
        self.may_select = all(scorer.may_select for _, scorer in parts)
        self.continuous = any(is_continuous(scorer) for _, scorer in parts)

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,) on the CPU. images: (B, 3, height, width), float in [0, 1].

        Raises:
            ScorerError: a part does not give one finite score per image.
        """
        # The command line reads every Config before torch is loaded.
        import torch

        total = torch.zeros(len(prompts))
        for weight, scorer in self._parts:
            scores = scorer.score(images, prompts)
            require_scores(scorer.name, scores, [f'"{prompt.text}"' for prompt in prompts])
            total = total + weight * scores
        return total


def version(config: Config) -> str | None:
    """Weights and versions of the parts; None where one is not known."""
    versions = {kind: part["version"] for kind, part in scorers.identities(_parts(config)).items()}
    return joined(*(version and f"{config.parts[kind]} {kind}@{version}" for kind, version in versions.items()))


def reads(config: Config) -> list[str]:
    """Columns of the prompts' metadata that a part reads."""
    return scorers.columns_read(_parts(config))


def _parts(config: Config) -> dict[str, Any]:
    # Sorted, so that the order in which the parts are written decides neither the version nor a rounding.
    return {kind: scorers.component(kind).Config() for kind in sorted(config.parts)}


def build(config: Config, device: "torch.device") -> WeightedSum:
    """Raises what its parts raise when they cannot be loaded."""
    built = scorers.built(_parts(config), device)
    return WeightedSum([(config.parts[kind], scorer) for kind, scorer in built.items()])
