"""What the stage train takes, told before the network is built."""

import math

from goldennoise import networks
from goldennoise.config.compose import RunConfig
from goldennoise.diffusion.evaluations import Amount
from goldennoise.stages.ahead import Ahead
from goldennoise.stages.estimate import Estimate, Size, shown_bytes
from goldennoise.store.artifacts import Artifact
from goldennoise.training.engine.costs import Course
from goldennoise.training.objectives.base import Objective


def training_estimate(
    config: RunConfig, loss: type[Objective], pairs: Artifact | None, done: str | None, ahead: Ahead
) -> Estimate:
    """Of the npnet artifact. pairs: None where they are not there. done: reference of the complete one."""
    stage, chosen = config.stage, _chosen(config, pairs, ahead)
    counts, evaluations, notes = {"epochs": Amount.exactly(stage.num_epochs)}, None, {}
    if chosen is not None:
        num, num_seeds = chosen
        costs = Course(stage, loss, config.npnet, ahead.sampling()).costs(num, num_seeds)
        counts |= {"pairs to learn from": costs["training"], "pairs to validate on": costs["validation"]}
        counts |= {"steps of the optimiser": costs["steps"], "passes of the network": costs["passes"]}
        evaluations, notes = costs["evaluations"], _work(config, num, num_seeds, ahead)
    stored = Size(None, "the parameters of the network are counted when it is built")
    return ahead.estimate(
        "npnet", done, counts, evaluations=evaluations, storage=stored, memory=ahead.memory, notes=notes
    )


def _chosen(config: RunConfig, pairs: Artifact | None, ahead: Ahead) -> tuple[Amount, int] | None:
    """How many pairs are learnt from, and how many of each prompt there are; None where nobody knows yet."""
    stage, maker = config.stage, ahead.maker(config.stage.pairs, "pairs")
    if pairs is not None:
        kept = "pairs" if stage.keep_rejected else "kept"
        num_seeds = pairs.recorded("config", "stage", kind=dict).get("num_seeds", 1)
        return Amount.exactly(pairs.recorded("counts", kept, kind=int)), num_seeds
    if maker is None:
        return None
    made, is_filtered = maker.counts["pairs"], maker.counts["images"].least > 0 and not stage.keep_rejected
    num_seeds = made.least // maker.counts["prompts"].least
    return (Amount(0, made.most) if is_filtered else made), num_seeds


def _work(config: RunConfig, num: Amount, num_seeds: int, ahead: Ahead) -> dict[str, str]:
    """What is computed once of every pair and prompt and lies on the disk while the network trains."""
    model = ahead.model
    if config.stage.frozen_inputs == "compute":
        return {"work files": "checkpoints, while it trains"}
    if model.latent_shape is None or model.text_shape is None:
        return {}
    each = 4 * networks.network_config(config.npnet, model.latent_shape, *model.text_shape).num_frozen
    prompt = math.prod(model.text_shape) * (2 if config.model.dtype == "float16" else 4)
    least, most = (pairs * each + pairs // num_seeds * prompt for pairs in (num.least, num.most or 0))
    told = f"{shown_bytes(Amount(least, most))}, which stage.frozen_inputs=compute does without, and checkpoints"
    return {"work files": f"{told}, while it trains"}
