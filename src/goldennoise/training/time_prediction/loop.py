"""Training a time predictor: rollouts and updates in turn, resumable after every update."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.optim import AdamW

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import ArtifactError
from goldennoise.methods.search.selector import Selector
from goldennoise.networks.time_predictor import TimePredictorConfig
from goldennoise.networks.time_predictor.network import TimePredictor, new_predictor
from goldennoise.store.files import whole
from goldennoise.training.engine.checkpoints import AtomicCheckpoints, read_checkpoint
from goldennoise.training.engine.options import WORK
from goldennoise.training.time_prediction.options import PROGRESS, TimePredictionOptions
from goldennoise.training.time_prediction.rollouts import Chains, advantages, discounted, rollouts
from goldennoise.training.time_prediction.update import improve

BETAS, EPS = (0.9, 0.99), 1e-5
"""Of AdamW, as published."""


@dataclass(frozen=True)
class Training:
    """A time predictor to train. prompts: to learn from. folder: gets progress.parquet and work/."""

    model: DiffusionModel
    selector: Selector
    prompts: Sequence[Prompt]
    options: TimePredictionOptions
    folder: Path
    seed: int
    batch_size: int


def train_time_predictor(training: Training, on_update: Callable[[dict[str, float]], object]) -> TimePredictor:
    """The trained network. on_update: called with the row of progress.parquet that an update makes.

    Called again with the same folder, a killed training goes on after its last update, and ends with the same weights
    bit for bit on a CPU. Raises `GoldenNoiseError` for scores and ratios that cannot be used.
    """
    options, seed = training.options, training.seed
    config = TimePredictorConfig(
        training.model.feature_width,
        options.init_alpha,
        options.init_beta,
        max_steps=options.max_steps,
        min_level=options.min_level,
        guidance=training.model.guidance,
    )
    network = new_predictor(config, seed).to(training.model.device)
    optimizer = AdamW(network.parameters(), lr=options.learning_rate, betas=BETAS, eps=EPS, weight_decay=0.0)
    file = training.folder / WORK / "last.ckpt"
    rows: list[dict[str, float]] = []
    if (state := _resumable(file)) is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        rows = state["rows"]
    for update in range(len(rows), options.num_updates):
        chosen = _prompts_of(training.prompts, options.prompts_per_update, seed, update)
        arguments = (chosen, options, seed, update, training.batch_size)
        chains = rollouts(training.model, training.selector, network, *arguments)
        spreads = [*(row["score_spread"] for row in rows), _spread(chains.scores)]
        spread = float(np.mean(spreads)) or 1.0
        rewards = rewards_of(chains, options, spread)
        # A constant for the whole update: it sets the size of the gradient that is clipped, not its direction.
        advantage = advantages(rewards, options.num_rollouts) / (_spread(rewards) or 1.0)
        vitals = improve(network, optimizer, chains, advantage, options)
        rows.append(
            {
                "update": update + 1,
                "score": chains.scores.mean().item(),
                "score_spread": spreads[-1],
                "reward": rewards.mean().item(),
                "num_steps": chains.num_steps.mean().item(),
                **asdict(vitals),
            }
        )
        on_update(rows[-1])
        held = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "rows": rows}
        AtomicCheckpoints().save_checkpoint(held, file)
    with whole(training.folder / PROGRESS) as beside:
        pd.DataFrame(rows).to_parquet(beside, index=False)
    return network.eval()


def rewards_of(chains: Chains, options: TimePredictionOptions, spread: float) -> Tensor:
    """(B,). spread: standard deviation of the scores, the unit of `step_price`."""
    if options.discount is not None:
        return discounted(chains.scores, chains.num_steps, options.discount)
    assert options.step_price is not None, "there is one of the two"
    return chains.scores - options.step_price * spread * chains.num_steps


def _spread(values: Tensor) -> float:
    return float(values.std()) if len(values) > 1 else 0.0


def _prompts_of(prompts: Sequence[Prompt], num: int, seed: int, update: int) -> list[Prompt]:
    """The prompts of an update, all different: as many as fit in turn, in an order of their own for every round."""
    updates_a_round = len(prompts) // num
    number, place = divmod(update, updates_a_round)
    order = np.random.default_rng([seed, number]).permutation(len(prompts))
    return [prompts[row] for row in order[place * num : (place + 1) * num]]


def _resumable(file: Path) -> dict[str, Any] | None:
    """The newer whole checkpoint, None to begin."""
    for path in (file, file.with_name("before.ckpt")):
        if path.is_file():
            try:
                return read_checkpoint(path)
            except ArtifactError:
                continue
    return None
