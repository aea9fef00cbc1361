"""Sample several noises and keep the one whose image a scorer likes best: the plain use of more compute."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.errors import ConfigError, ScorerError, require

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import MethodTools, SampleBatch
    from goldennoise.scorers.protocol import Scorer


@dataclass(frozen=True)
class Config:
    """num_candidates: noises tried per sample, the source noise first. scorer: one of the scorers of the run."""

    kind: str = "best_of_n"
    num_candidates: int = 4
    scorer: str = "shapes_clip"

    def __post_init__(self) -> None:
        require(self.num_candidates >= 1, "num_candidates", self.num_candidates, "at least 1")
        require(bool(self.scorer), "scorer", repr(self.scorer), "the name of one of the scorers of the run")


class BestOfN:
    """Candidate k is the same whatever `num_candidates` is, so more candidates never score worse."""

    def __init__(self, num_candidates: int, scorer: "Scorer") -> None:
        self.num_candidates = num_candidates
        self.scorer = scorer

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """The best candidate of every sample, the earliest of equals. Raises `ScorerError` for a non-finite score."""
        # The command line reads every Config before torch is loaded.
        import torch

        best, best_scores = batch.source, None
        for candidate in range(self.num_candidates):
            noise = batch.source if candidate == 0 else batch.fresh_noise(f"best_of_n/{candidate}")
            with torch.no_grad():
                images = model.decode(model.sample(noise, batch.embedding))
                scores = self._score(images, batch.prompts)
            if best_scores is None:
                best_scores = scores
                continue
            better = scores > best_scores
            best = torch.where(better.to(best.device).view(-1, 1, 1, 1), noise, best)
            best_scores = torch.where(better, scores, best_scores)
        return best

    def _score(self, images: "Tensor", prompts: list[str]) -> "Tensor":
        """Scores (B,), larger is better whatever the scorer's direction."""
        scores = self.scorer.score(images, prompts)
        for prompt, score in zip(prompts, scores.tolist(), strict=True):
            # A comparison with a score that is no number is false, which would quietly keep whatever came before.
            if not abs(score) < float("inf"):
                raise ScorerError(
                    f'{self.scorer.name} gives {score} for an image of "{prompt}", so best_of_n cannot compare it: '
                    "choose another scorer, or check that the model gives finite images."
                )
        return scores if self.scorer.higher_is_better else -scores


def build(config: Config, tools: "MethodTools") -> BestOfN:
    """Raises `ConfigError` when the run does not have the scorer."""
    if config.scorer not in tools.scorers:
        known = ", ".join(tools.scorers) or "none"
        raise ConfigError(f"scorer={config.scorer}: best_of_n needs a scorer of the run; the run has {known}")
    return BestOfN(config.num_candidates, tools.scorers[config.scorer])
