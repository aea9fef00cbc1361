"""Scores of schedules, and the levels that their images went through, as the page's chapter on them reads both."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from goldennoise.errors import ArtifactError
from goldennoise.evaluation.report.numbers import Scale, scale_of
from goldennoise.evaluation.report.results import main_scorer
from goldennoise.evaluation.statistics import Comparison, compare
from goldennoise.evaluation.summary import Summary
from goldennoise.generation.units import LEVEL_COLUMNS, LEVELS, has_levels, table_of
from goldennoise.runtime.seeding import derive_seed
from goldennoise.store.artifacts import Artifact

FILE = "levels.parquet"
HARD = 0.25
"""Share of the prompts that are called hard, and of those called easy."""


@dataclass(frozen=True)
class Learned:
    """A method of a learned schedule. artifact: its reference, None for an untrained network."""

    method: str
    mode: str
    artifact: str | None


@dataclass(frozen=True)
class Schedules:
    """Of an evaluation. fixed: schedule -> its methods, those of few evaluations first. scores: by the main scorer, a
    row per prompt and seed, a column per method. levels: as `generation.units.level_rows`. root_seed: of the run.
    """

    summary: Summary
    fixed: Mapping[str, list[str]]
    learned: Sequence[Learned]
    scores: pd.DataFrame
    levels: pd.DataFrame
    root_seed: int

    @property
    def scorer(self) -> str:
        return main_scorer(self.summary)

    @property
    def scale(self) -> Scale:
        return scale_of(self.summary, self.scorer)

    def evaluations(self, method: str) -> float:
        return self.summary.methods[method].evaluations_per_image

    def controls(self, adaptive: Learned) -> list[Learned]:
        """The schedules of the same artifact that are not the image's own, and the untrained ones."""
        of_it = [other for other in self.learned if other.artifact == adaptive.artifact and other.mode != "adaptive"]
        return of_it + [other for other in self.learned if other.artifact is None and other != adaptive]

    def at(self, name: str, evaluations: float) -> pd.Series | None:
        """Scores of a fixed schedule at a number of evaluations, linear between its nearest two; None outside."""
        methods = self.fixed[name]
        costs = [self.evaluations(method) for method in methods]
        after = next((i for i, cost in enumerate(costs) if cost >= evaluations), None)
        if after is None or (after == 0 and costs[0] > evaluations):
            return None
        if after == 0:
            return self.scores[methods[0]]
        share = (evaluations - costs[after - 1]) / (costs[after] - costs[after - 1])
        return (1 - share) * self.scores[methods[after - 1]] + share * self.scores[methods[after]]

    def compared(self, method: str, base: pd.Series) -> Comparison:
        """A method with scores of the same samples, prompts resampled as in the summary."""
        columns = {"base": base.to_numpy(), "method": self.scores[method].to_numpy()}
        prompts = self.scores.index.get_level_values("prompt_id")
        higher = self.summary.scorers[self.scorer].higher_is_better
        seed = derive_seed(self.root_seed, f"bootstrap/{self.scorer}", "")
        return compare(columns, "base", prompts, higher, self.summary.num_resamples, seed)["method"]


def schedules_of(
    scores: Artifact, summary: Summary, table: pd.DataFrame, configs: Mapping[str, Mapping[str, Any]]
) -> Schedules | None:
    """None where no method predicts its noise levels. table: `scores.parquet`. configs: of the methods.

    Raises `ArtifactError` for levels that cannot be read.
    """
    learned = [
        Learned(method, str(config["mode"]), config["artifact"])
        for method, config in configs.items()
        if config["kind"] == "time_prediction"
    ]
    if not learned:
        return None
    names = {method: fixed_name(method, config) for method, config in configs.items()}
    fixed = {name: [method for method in names if names[method] == name] for name in names.values() if name}
    cost = {method: result.evaluations_per_image for method, result in summary.methods.items()}
    fixed = {name: sorted(methods, key=lambda method: cost[method]) for name, methods in fixed.items()}
    rows = table[table["scorer"] == main_scorer(summary)]
    levels = table_of(scores.path / FILE)
    if levels is None or [*levels] != LEVEL_COLUMNS or not has_levels(levels[LEVELS]):
        raise ArtifactError(f"{scores.path / FILE} holds no noise levels: run stage=eval again or restore the file")
    grid = rows.pivot(index=["prompt_id", "seed"], columns="method", values="score")
    return Schedules(summary, fixed, learned, grid, levels, scores.recorded("config", "seed", kind=int))


def fixed_name(method: str, config: Mapping[str, Any]) -> str | None:
    """The fixed schedule of a method in a word or two; None where the method is another or changes more than that.

    Timesteps that are listed go by the method's name, without the number of steps behind it.
    """
    if config["kind"] == "fixed_schedule":
        if config["levels"] is not None:
            density = config["levels"]
            return str(density if isinstance(density, str) else density["kind"])
        return re.sub(r"_\d+$", "", method) if config["timesteps"] is not None else str(config["spacing"])
    if config["kind"] == "standard" and config["guidance"] is None:
        return "the model's own"
    return None


def by_difficulty(found: Schedules) -> tuple[list[str], list[str]]:
    """Ids of the easy and of the hard prompts, by the reference's mean score."""
    sign = -1 if found.summary.scorers[found.scorer].higher_is_better is False else 1
    means = (sign * found.scores[found.summary.reference]).groupby("prompt_id").mean().sort_values(kind="stable")
    num = max(1, round(HARD * len(means)))
    return [str(prompt) for prompt in means.index[-num:]], [str(prompt) for prompt in means.index[:num]]
