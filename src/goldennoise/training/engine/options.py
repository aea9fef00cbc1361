"""What a user chooses about training. Imports no torch: the command line reads it before anything heavy loads."""

import math
from dataclasses import dataclass

from goldennoise.errors import require

PRECISIONS = ("32-true", "bf16-mixed")
SCHEDULES = ("constant", "cosine")
OBJECTIVES = ("regression", "gain_weighted", "reward", "layout_likelihood")
WORK = "work"
"""Folder of checkpoints and frozen inputs below a run's folder; for resuming only."""


@dataclass(frozen=True)
class TrainingOptions:
    """The defaults are the published training of NPNet (arXiv 2411.09502), but with clipping, a split over prompts, and
    only the pairs that the filter kept, which the published command does if told so.

    objective: "regression" to the golden noise; "gain_weighted", the same with each pair weighted by how much its
    golden image was preferred; "reward", which ascends a differentiable scorer and takes no notice of golden noise;
    "layout_likelihood", the one objective of networks that draw layouts (`npnet.kind`), and theirs alone.
    reward_scorer, reward_steps, reward_weight: of the objective "reward": the scorer, the sampling steps its gradient
    goes through, and what a unit of its score is worth against the mean squared distance from the source noise.
    batch_size: pairs per optimiser step over all devices together. gradient_clip: largest L2 norm, null for none.
    schedule: of the learning rate; "cosine" falls to 0 at the end of the last epoch.
    validation_share: share of the prompts, with all their pairs, that is held out, in (0, 1).
    keep_rejected: learn also from pairs that the preference filter rejected.
    sample_every_epochs, num_samples: how often how many sample images are made; 0 for none.
    """

    objective: str = "regression"
    reward_scorer: str = "shapes_clip"
    reward_steps: int = 4
    reward_weight: float = 0.01
    num_epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    gradient_clip: float | None = 1.0
    precision: str = "32-true"
    schedule: str = "constant"
    validation_share: float = 0.1
    keep_rejected: bool = False
    sample_every_epochs: int = 5
    num_samples: int = 4

    def __post_init__(self) -> None:
        require(self.objective in OBJECTIVES, "objective", self.objective, f"one of {', '.join(OBJECTIVES)}")
        require(bool(self.reward_scorer), "reward_scorer", repr(self.reward_scorer), "the name of a scorer")
        require(0 < self.reward_weight < math.inf, "reward_weight", self.reward_weight, "a finite number above 0")
        for option in ("num_epochs", "batch_size", "reward_steps"):
            require(getattr(self, option) >= 1, option, getattr(self, option), "at least 1")
        for option in ("sample_every_epochs", "num_samples"):
            require(getattr(self, option) >= 0, option, getattr(self, option), "at least 0 (0 for no sample images)")
        require(0 < self.learning_rate <= 1, "learning_rate", self.learning_rate, "above 0 and at most 1")
        require(0 <= self.weight_decay <= 1, "weight_decay", self.weight_decay, "between 0 and 1")
        clip = self.gradient_clip
        require(clip is None or clip > 0, "gradient_clip", clip, "above 0, or null for no clipping")
        require(self.precision in PRECISIONS, "precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        require(self.schedule in SCHEDULES, "schedule", self.schedule, f"one of {', '.join(SCHEDULES)}")
        require(0 < self.validation_share < 1, "validation_share", self.validation_share, "above 0 and below 1")
