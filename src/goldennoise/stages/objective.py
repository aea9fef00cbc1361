"""The one number of a finished artifact that a sweep goes by."""

import math
from dataclasses import dataclass

from goldennoise.config.benchmarks import benchmark_sets
from goldennoise.config.compose import RunConfig
from goldennoise.data.prompts import load_prompts, shared_with
from goldennoise.errors import ArtifactError, ConfigError, nearest, shortened
from goldennoise.store.options import Options, filled, option
from goldennoise.store.paths import given_path
from goldennoise.store.record import Artifact, read_json

COUNTED = {"npnet": "val_loss", "model": "val_error"}
"""Kind of artifact -> the count that is measured on what was held out. Lower is better."""
COUNTED_BY = {"train": "val_loss", "train_model": "val_error", "distil": "val_error"}
"""Stage -> the same of its artifact."""


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
    if stage.kind == "eval" and (benchmark := _benchmark(config)):
        raise ConfigError(
            f"stage.objective_metric={metric}: the prompts are those of {benchmark}, and a benchmark chooses no "
            "setting; choose others, such as prompts=shapes_validation"
        )


def measured(artifact: Artifact, metric: str) -> float:
    """The number `metric` of an artifact: a count, or "SCORER of METHOD" of scores.

    Of the reference of an evaluation it is the mean score, of another method the mean difference from the reference.
    Raises `ArtifactError` where the artifact does not have it.
    """
    found = _score(artifact, metric) if artifact.kind == "scores" else artifact.record["counts"].get(metric)
    if isinstance(found, int | float) and math.isfinite(found):
        return float(found)
    raise ArtifactError(f"{artifact.reference} has no number {shortened(metric)}: name one that its stage gives")


def lower_is_better(artifact: Artifact, metric: str) -> bool:
    """Whether the lowest number is the best: of losses and errors, and of scorers that say so."""
    if artifact.kind != "scores":
        return True
    scorers = read_json(artifact.path / "summary.json")["scorers"]
    return scorers[metric.partition(" of ")[0]]["higher_is_better"] is False


def _of_eval(config: RunConfig) -> list[str]:
    return [f"{scorer} of {method}" for scorer in config.scorer for method in config.method]


def _benchmark(config: RunConfig) -> str:
    """The published test set that an evaluation is on, as a message names it; empty for none."""
    prompts = config.prompts
    if prompts.benchmark or (prompts.kind == "shapes" and prompts.split == "benchmark"):
        return f"a benchmark ({prompts.path or 'prompts=shapes_benchmark'})"
    if prompts.path is None or not given_path(prompts.path).exists():
        return ""
    texts = [prompt.text for prompt in load_prompts(prompts, config.stage.num_prompts)]
    shared = shared_with(texts, benchmark_sets())
    return ", ".join(f"the benchmark {name} ({len(found)} of them)" for name, found in shared.items())


def _score(artifact: Artifact, metric: str) -> object:
    scorer, _, method = metric.partition(" of ")
    summary = read_json(artifact.path / "summary.json")
    try:
        result = summary["methods"][method]["scorers"][scorer]
        return result["mean" if method == summary["reference"] else "difference"]
    except (KeyError, TypeError):
        return None
