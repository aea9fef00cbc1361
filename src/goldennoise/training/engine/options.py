"""What a user chooses about training. Imports no torch: the command line reads it before anything heavy loads."""

from dataclasses import dataclass

from goldennoise.errors import require
from goldennoise.store.options import POSITIVE, Check, Options, filled, number, one_of, option
from goldennoise.training import objectives

_SAMPLES = Check(lambda count: count >= 0, "at least 0 (0 for no sample images)")
WORK = "work"
"""Folder of checkpoints and frozen inputs below a run's folder; for resuming only."""


def num_held_out(num_prompts: int, share: float) -> int:
    """Prompts to validate on: `share` of at least two, at least one, and not all."""
    return min(max(1, round(share * num_prompts)), num_prompts - 1)


@dataclass(frozen=True)
class TrainingOptions(Options):
    """The defaults are the published training of NPNet (arXiv 2411.09502), but with clipping, a split over prompts, and
    only the pairs that the filter kept, which the published command does if told so."""

    objective: str = option("regression", one_of(*objectives.kinds()))
    """What the network is trained for: a module in `goldennoise.training.objectives`."""
    reward_scorer: str = option("shapes_clip", filled("the name of a scorer"))
    """Of the objective "reward": the scorer that it ascends."""
    reward_steps: int = option(4, number(least=1))
    """Of the objective "reward": the sampling steps that its gradient goes through."""
    reward_weight: float = option(0.01, POSITIVE)
    """Of the objective "reward": what a unit of its score is worth against the mean squared distance from the source
    noise."""
    reward_clip: float | None = option(None, POSITIVE)
    """Of the objective "reward": largest L2 norm of the gradient of one score with respect to its noise; null for
    none. `gradient_clip` bounds that of a batch."""
    num_epochs: int = option(30, number(least=1))
    """Passes over the training pairs."""
    batch_size: int = option(64, number(least=1))
    """Pairs per optimiser step, over all devices together."""
    learning_rate: float = option(1e-4, number(above=0, most=1))
    """Of AdamW, in (0, 1]."""
    weight_decay: float = option(0.01, Check(lambda decay: 0 <= decay <= 1, "between 0 and 1"))
    """Of AdamW, in [0, 1]."""
    gradient_clip: float | None = 1.0
    """Largest L2 norm of the gradient, null for none."""
    precision: str = option("32-true", one_of("32-true", "bf16-mixed"))
    """32-true or bf16-mixed."""
    schedule: str = option("constant", one_of("constant", "cosine"))
    """Of the learning rate: constant, or cosine, which falls to 0 at the end of the last epoch."""
    validation_share: float = option(0.1, number(above=0, below=1))
    """Share of the prompts, with all their pairs, that is held out, in (0, 1)."""
    keep_rejected: bool = False
    """Learn also from pairs that the preference filter rejected."""
    sample_every_epochs: int = option(5, _SAMPLES)
    """How often sample images are made; 0 for none."""
    num_samples: int = option(4, _SAMPLES)
    """How many sample images are made; 0 for none."""
    frozen_inputs: str = option("disk", one_of("disk", "compute"), identity=False)
    """Where prompt embeddings and the factors of noises come from: disk computes them once and keeps them there while
    the network trains; compute computes those of each batch, every epoch again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        clip = self.gradient_clip
        require(clip is None or clip > 0, "gradient_clip", clip, "above 0, or null for no clipping")
