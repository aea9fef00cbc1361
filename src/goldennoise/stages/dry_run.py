"""A dry run: every stage of a command says what it would make; nothing is loaded, fetched or written."""

from collections.abc import Sequence

from goldennoise.config.compose import RunConfig
from goldennoise.stages import component
from goldennoise.stages.ahead import Ahead
from goldennoise.stages.estimate import Estimate, total


def estimated(config: RunConfig, earlier: Sequence[Estimate] = ()) -> Estimate:
    """What the stage of a config would make. Raises for mistakes in the config what its run raises."""
    stage, ahead = component(config.stage.kind), Ahead(config, earlier)
    if not hasattr(stage, "estimate"):
        return Estimate(config.stage.kind, "", evaluations=None)
    found: Estimate = stage.estimate(ahead.config, ahead)
    return found


def told(parts: Sequence[RunConfig]) -> str:
    """All stages of a command, and of several the total."""
    estimates: list[Estimate] = []
    for part in parts:
        estimates.append(estimated(part, estimates))
    texts = [str(each) for each in estimates]
    return "\n\n".join([*texts, total(estimates)] if len(estimates) > 1 else texts)
