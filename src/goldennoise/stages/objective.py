"""The one number of a finished artifact that a sweep goes by."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.config.benchmarks import benchmark_sets
from goldennoise.config.compose import RunConfig, fill
from goldennoise.data.prompts import PromptsConfig, load_prompts, shared_with
from goldennoise.errors import ArtifactError, ConfigError, nearest, shortened
from goldennoise.store.options import Options, filled, option
from goldennoise.store.paths import given_path
from goldennoise.store.record import Artifact

if TYPE_CHECKING:
    from goldennoise.evaluation.summary import Summary

COUNTED = {"npnet": "val_loss", "model": "val_error"}
"""Kind of artifact -> the count that is measured on what was held out. Lower is better."""
COUNTED_BY = {"train": "val_loss", "train_model": "val_error", "distil": "val_error"}
"""Stage -> the same of its artifact."""
_IMAGES = ("seed", "stage.images", "stage.num_images", "stage.num_validation")
MEASURED_ON = {
    "train": (
        *("seed", "stage.pairs", "stage.validation_share", "stage.keep_rejected", "stage.objective"),
        *("stage.reward_scorer", "stage.reward_steps", "stage.reward_weight"),
    ),
    "train_model": (*_IMAGES, "stage.zero_terminal"),
    "distil": (*_IMAGES, "stage.student_steps", "stage.solver_steps"),
    "eval": ("seed", "prompts", "stage.num_prompts", "stage.num_seeds", "scorer"),
}
"""Stage -> options, or parts of the config, that change what its number is measured on or by: numbers that differ in
these cannot be compared."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions(Options):
    """Of a stage whose artifact has a number that a sweep can go by."""

    objective_metric: str | None = option(None, filled("the name of a number"), identity=False)
    """The number that the run prints and that a sweep optimises: val_loss of train, val_error of train_model and
    distil, "SCORER of METHOD" of eval; null for none."""


def refuse_unfit_metric(config: RunConfig) -> None:
    """Raise `ConfigError` for a number that the artifact will not have, and for one that is measured on a benchmark."""
    stage = config.stage
    metric = getattr(stage, "objective_metric", None)
    if metric is None:
        return
    known = _of_eval(config) if stage.kind == "eval" else [COUNTED_BY[stage.kind]]
    if metric not in known:
        raise ConfigError(
            f"stage.objective_metric={shortened(metric)}: stage={stage.kind} gives no such number; choose from "
            f"{', '.join(known)}{nearest(metric, known)}"
        )
    if stage.kind == "eval" and (benchmark := _benchmark(config.prompts, _texts(config))):
        raise ConfigError(
            f"stage.objective_metric={metric}: the prompts are those of {benchmark}, and a benchmark chooses no "
            "setting; choose others, such as prompts=shapes_validation"
        )


def refuse_unfit_space(config: RunConfig, swept: Sequence[str]) -> None:
    """Raise `ConfigError` for swept options that change what the number of the stage is measured on."""
    metric = getattr(config.stage, "objective_metric", None)
    if metric is not None and (changing := changing_what_is_measured(config.stage.kind, swept)):
        raise ConfigError(
            f"{changing[0]}: it changes what {metric} is measured on, so the numbers of its values cannot be compared; "
            "sweep another option"
        )


def changing_what_is_measured(stage: str, options: Iterable[str]) -> list[str]:
    """Those of the options, such as "stage.pairs", that do."""
    parts = MEASURED_ON.get(stage, ())
    return [option for option in options if any(option == part or option.startswith(f"{part}.") for part in parts)]


def measured(artifact: Artifact, metric: str) -> float:
    """The number `metric` of an artifact: a count, or "SCORER of METHOD" of scores.

    Of the reference of an evaluation it is the mean score, of another method the mean difference from the reference.
    Raises `ArtifactError` where the artifact does not have it.
    """
    numbers = _of_scores(artifact) if artifact.kind == "scores" else _counted(artifact)
    found, known = numbers.get(metric), [*numbers]
    if isinstance(found, int | float) and math.isfinite(found):
        return float(found)
    raise ArtifactError(
        f"{artifact.reference} has no number {shortened(metric)}: choose from {', '.join(known)}"
        f"{nearest(metric, known)}"
    )


def refuse_benchmark_scores(scores: Artifact) -> None:
    """Raise `ConfigError` for scores of a benchmark, by which nothing may be chosen; `ArtifactError` if damaged."""
    from goldennoise.evaluation.scores import scores_table

    prompts = fill("prompts", PromptsConfig, scores.recorded("config", "prompts", kind=dict))
    texts = scores_table(scores, _summary(scores))["prompt"].unique().tolist()
    if benchmark := _benchmark(prompts, texts):
        raise ConfigError(
            f"stage.artifacts={scores.reference}: its prompts are those of {benchmark}, and a benchmark chooses no "
            "setting; stage=compare shows such scores beside each other"
        )


def lower_is_better(artifact: Artifact, metric: str) -> bool:
    """Whether the lowest number is the best: of losses and errors, and of scorers that say so."""
    if artifact.kind != "scores":
        return True
    return _summary(artifact).scorers[metric.partition(" of ")[0]].higher_is_better is False


def _of_eval(config: RunConfig) -> list[str]:
    return [f"{scorer} of {method}" for scorer in config.scorer for method in config.method]


def _texts(config: RunConfig) -> list[str]:
    """Of the prompts of an evaluation's file; none where it is not there."""
    path = config.prompts.path
    if path is None or not given_path(path).exists():
        return []
    return [prompt.text for prompt in load_prompts(config.prompts, config.stage.num_prompts)]


def _benchmark(prompts: PromptsConfig, texts: Sequence[str]) -> str:
    """The published test set that prompts are of, as a message names it; empty for none. texts: theirs."""
    if prompts.benchmark or (prompts.kind == "shapes" and prompts.split == "benchmark"):
        return f"a benchmark ({prompts.path or 'prompts=shapes_benchmark'})"
    shared = shared_with(texts, benchmark_sets())
    return ", ".join(f"the benchmark {name} ({len(found)} of them)" for name, found in shared.items())


def _counted(artifact: Artifact) -> dict[str, object]:
    """The numbers of a network or a model."""
    name = COUNTED[artifact.kind]
    return {name: artifact.record["counts"].get(name)}


def _of_scores(scores: Artifact) -> dict[str, object]:
    """Those of an evaluation."""
    summary, found = _summary(scores), dict[str, object]()
    for scorer in summary.scorers:
        for name, method in summary.methods.items():
            overall = method.scorers[scorer].overall
            found[f"{scorer} of {name}"] = overall.mean if name == summary.reference else overall.difference
    return found


def _summary(scores: Artifact) -> "Summary":
    # Pandas loads here, after mistakes that can be seen without it.
    from goldennoise.evaluation.summary import read_summary

    return read_summary(scores.path / "summary.json")
