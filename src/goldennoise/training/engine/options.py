"""What a user chooses about training. Imports no torch: the command line reads it before anything heavy loads."""

import math
from dataclasses import dataclass

from goldennoise.errors import require
from goldennoise.training import objectives

PRECISIONS = ("32-true", "bf16-mixed")
SCHEDULES = ("constant", "cosine")
OBJECTIVES = tuple(objectives.kinds())
WORK = "work"
"""Folder of checkpoints and frozen inputs below a run's folder; for resuming only."""


@dataclass(frozen=True)
class TrainingOptions:
    """The defaults are the published training of NPNet (arXiv 2411.09502), but with clipping, a split over prompts, and
    only the pairs that the filter kept, which the published command does if told so."""

    objective: str = "regression"
    """What the network is trained for: a module in `goldennoise.training.objectives`."""
    reward_scorer: str = "shapes_clip"
    """Of the objective "reward": the scorer that it ascends."""
    reward_steps: int = 4
    """Of the objective "reward": the sampling steps that its gradient goes through."""
    reward_weight: float = 0.01
    """Of the objective "reward": what a unit of its score is worth against the mean squared distance from the source
    noise."""
    num_epochs: int = 30
    """Passes over the training pairs."""
    batch_size: int = 64
    """Pairs per optimiser step, over all devices together."""
    learning_rate: float = 1e-4
    """Of AdamW, in (0, 1]."""
    weight_decay: float = 0.01
    """Of AdamW, in [0, 1]."""
    gradient_clip: float | None = 1.0
    """Largest L2 norm of the gradient, null for none."""
    precision: str = "32-true"
    """32-true or bf16-mixed."""
    schedule: str = "constant"
    """Of the learning rate: constant, or cosine, which falls to 0 at the end of the last epoch."""
    validation_share: float = 0.1
    """Share of the prompts, with all their pairs, that is held out, in (0, 1)."""
    keep_rejected: bool = False
    """Learn also from pairs that the preference filter rejected."""
    sample_every_epochs: int = 5
    """How often sample images are made; 0 for none."""
    num_samples: int = 4
    """How many sample images are made; 0 for none."""

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
