"""sweep: artifacts of a sweep -> a table in the order of one number, and a line through the options of each."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ConfigError
from goldennoise.evaluation.sweep import differing, options_of
from goldennoise.stages import component
from goldennoise.stages.job import opened
from goldennoise.stages.objective import (
    COUNTED,
    changing_what_is_measured,
    lower_is_better,
    measured,
    refuse_benchmark_scores,
)
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.options import Options, filled, option
from goldennoise.store.record import STAGE_OF_KIND

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

KINDS = (*COUNTED, "scores")
"""Of artifacts that have a number."""


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Which artifacts, and by which number."""

    kind: str = "sweep"
    """Of this stage."""
    artifacts: str = option(check=filled('a text such as "npnet/tuned@*"'))
    """The artifacts, "KIND/NAME@*", with the wildcards of a shell: npnet, model or scores."""
    metric: str | None = option(None, filled("the name of a number"))
    """The number they are ordered by: val_loss, val_error, or "SCORER of METHOD" of scores; null for the
    objective_metric of the first of them, else for val_loss or val_error."""


def run(config: RunConfig) -> Artifact:
    """The sweep artifact: index.html, tables.md and tables.tex. Of several processes rank 0 makes it.

    Raises `ConfigError` for artifacts without a number and for scores of a benchmark, `ArtifactError` for one that is
    missing, damaged or lacks it.
    """
    stage, kind = config.stage, _kind(config.stage.artifacts)
    with opened(config, "sweep") as job:
        found = job.store.matching(stage.artifacts, kind)
        if len(found) < 2:
            raise ConfigError(
                f"stage.artifacts={stage.artifacts}: it means {found[0].reference} alone, and a sweep has at least two"
            )
        if kind == "scores":
            for scores in found:
                refuse_benchmark_scores(scores)
        metric = stage.metric or _metric(found[0])
        numbers = [measured(each, metric) for each in found]
        if done := job.begin(lambda _: _identity(metric, found), found, "index.html"):
            return done
        return job.finish(lambda draft: _write(draft, metric, found, numbers))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the sweep artifact, see `stages.dry_run`."""
    _kind(config.stage.artifacts)
    return ahead.estimate("sweep", None, {})


def _kind(artifacts: str) -> str:
    kind = artifacts.partition("/")[0]
    if kind not in KINDS:
        made = ", ".join(f"{kind}/NAME@* (stage={STAGE_OF_KIND[kind]})" for kind in KINDS)
        raise ConfigError(f"stage.artifacts={artifacts}: artifacts must be those of a kind that has a number: {made}")
    return kind


def _metric(first: Artifact) -> str:
    chosen = first.recorded("config", "stage", kind=dict).get("objective_metric") or COUNTED.get(first.kind)
    if not isinstance(chosen, str):
        raise ConfigError(
            f"stage.metric=null: {first.reference} has no stage.objective_metric; set stage.metric='SCORER of METHOD'"
        )
    return chosen


def _identity(metric: str, found: Sequence[Artifact]) -> dict[str, Any]:
    return {"metric": metric, "artifacts": [each.reference for each in found]}


def _write(draft: Draft, metric: str, found: Sequence[Artifact], numbers: Sequence[float]) -> Artifact:
    # Matplotlib loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.evaluation.report.sweep_page import Swept, write_sweep
    from goldennoise.evaluation.report.tables import to_text

    kind = found[0].recorded("config", "stage", "kind")
    options = differing({each.reference: [_options(each)] for each in found})
    values = dict(zip([each.reference for each in found], numbers, strict=True))
    swept = Swept(metric, lower_is_better(found[0], metric), values, options, changing_what_is_measured(kind, options))
    table = write_sweep(draft.path, draft.reference, swept)
    artifact = draft.commit({"artifacts": len(found), "best": next(iter(swept.values.values()))})
    print(to_text(table))
    print("\n".join([swept.headline, *swept.sentences]))
    print(f"{artifact.reference} is written: {artifact.path / 'index.html'}")
    return artifact


def _options(artifact: Artifact) -> dict[str, Any]:
    """What a user can set that decides an artifact, and what it was made from."""
    options, stage = options_of(artifact), component(artifact.recorded("config", "stage", "kind")).Config
    for each in fields(stage):
        if not each.metadata.get("identity", True):
            options.pop(f"stage.{each.name}", None)
    inputs = [source["reference"] for source in artifact.recorded("inputs", kind=list)]
    if artifact.kind == "npnet":
        # Their version, where the option says @latest.
        options["stage.pairs"], *inputs = inputs
    return options | {"inputs": ", ".join(inputs)}
