"""What a user chooses about training a time predictor. Imports no torch."""

from dataclasses import dataclass

from goldennoise.errors import require
from goldennoise.networks.time_predictor import BIAS
from goldennoise.store.options import POSITIVE, Options, filled, number, option

PROGRESS = "progress.parquet"
"""Of a training, a row per update."""


@dataclass(frozen=True)
class TimePredictionOptions(Options):
    """The defaults are for the shapes world: few prompts, a higher rate than published, and a price for each step,
    since scores may be below 0 there."""

    reward_scorer: str = option("shapes_clip", filled("the name of a scorer"))
    """The scorer that the schedules are trained for."""
    discount: float | None = option(None, number(above=0, most=1))
    """gamma of the published reward, the score times the mean of gamma^k over the steps k = 0 to n - 1, in (0, 1], 0.97
    as published. For scorers that only give scores above 0: the first other score stops the training. Null where there
    is a step_price."""
    step_price: float | None = option(0.02, number(least=0))
    """What a step costs, in standard deviations of the score: the reward is the score minus this for each step, at
    least 0. The deviation is that of the scores of an update, its mean over the updates so far. Null where there is a
    discount."""
    num_updates: int = option(160, number(least=1))
    """Updates of the policy."""
    prompts_per_update: int = option(8, number(least=1))
    """Prompts of an update."""
    num_rollouts: int = option(4, number(least=2))
    """Chains of every prompt of an update, at least 2: each is compared with the others. They share their noise."""
    num_epochs: int = option(4, number(least=1))
    """Steps of the optimiser over the same chains."""
    clip: float = option(0.2, number(above=0, below=1))
    """How far the probability of a chain may move in an update, as a ratio, in (0, 1)."""
    learning_rate: float = option(3e-4, number(above=0, most=1))
    """Of AdamW, in (0, 1]; 1e-6 as published."""
    gradient_clip: float = option(1.0, POSITIVE)
    """Largest L2 norm of the gradient."""
    max_steps: int = option(28, number(least=2))
    """Steps of a chain at most, at least 2: where a step is the last one allowed there is nothing to choose."""
    min_level: float = option(0.01, number(above=0, below=1))
    """A noise level below it is the end of a chain, in (0, 1)."""
    init_alpha: float = option(2.5, BIAS)
    """Bias a of alpha = 1 + exp(a) before training, in [-10, 10]."""
    init_beta: float = option(1.0, BIAS)
    """Bias b of beta = 1 + exp(b) before training, in [-10, 10]."""
    num_validation: int = option(64, number(least=1))
    """Prompts that are held out, of whose chains the shared schedule is made."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one = (self.discount is None) != (self.step_price is None)
        require(one, "step_price", self.step_price, "null beside a discount, and a number where discount is null")
