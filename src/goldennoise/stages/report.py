"""Stage `report`: from a scores artifact to a page, and its tables as Markdown and LaTeX."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ArtifactError
from goldennoise.networks.sources import is_hub_reference
from goldennoise.stages.job import opened
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.options import Options, filled, number, option

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate


@dataclass(frozen=True)
class Config(Options):
    """Scores, and how many of their images."""

    kind: str = "report"
    scores: str = option("scores/shapes@latest", filled("the name of a scores artifact"))
    """The scores artifact to report on, such as "scores/shapes@v1"."""
    num_examples: int = option(12, number(least=1))
    """Rows of the image grid, at least 1."""
    published: tuple[str, ...] | None = None
    """Published settings to show beside, such as "golden_noise/sdxl_pickapic"; null for those of the model."""


def run(config: RunConfig) -> Artifact:
    """Write the report artifact: index.html, tables.md, tables.tex. Raises `ArtifactError` for scores it cannot use.

    Of several processes rank 0 does it.
    """
    stage: Config = config.stage
    with opened(config, "report") as job:
        scores = job.store.resolve(stage.scores, "scores")
        scores.check()
        networks, missing = _networks(job.store, scores)
        if done := job.begin(
            lambda _: _identity(config, missing), [scores, *networks], "index.html", lambda: _refuse_unfit(stage)
        ):
            return done
        return job.finish(lambda draft: _write(draft, scores, networks, missing, stage))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the report artifact, see `stages.dry_run`."""
    _refuse_unfit(config.stage)
    done, scores = None, ahead.input(config.stage.scores, "scores")
    if scores is not None:
        networks, missing = _networks(ahead.store, scores)
        done = ahead.complete("report", lambda _: _identity(config, missing), [scores, *networks])
    return ahead.estimate("report", done, {"examples, at most": config.stage.num_examples})


def _refuse_unfit(stage: Config) -> None:
    """Raise `ConfigError` for a setting that nobody published."""
    if stage.published:
        from goldennoise.evaluation.report.paper_numbers import published_by_id

        published_by_id(stage.published)


def _identity(config: RunConfig, missing: list[str]) -> dict[str, Any]:
    chosen = config.stage.published
    identity = {"num_examples": config.stage.num_examples, "missing": missing}
    return identity if chosen is None else identity | {"published": [*chosen]}


def _write(draft: Draft, scores: Artifact, networks: list[Artifact], missing: list[str], stage: Config) -> Artifact:
    # Matplotlib and pandas load here, when every mistake that can be seen without them has been reported.
    from goldennoise.evaluation.report.contents import page_content, write_page
    from goldennoise.evaluation.report.tables import to_text

    content = page_content(scores, networks, missing, stage.num_examples, stage.published)
    write_page(draft.path, content)
    artifact = draft.commit({"examples": len(content.rows), "figures": len(content.figures)})
    if content.published is not None:
        print(to_text(content.published))
    print(f"{artifact.reference} is written: {artifact.path / 'index.html'}")
    return artifact


def _networks(store: ArtifactStore, scores: Artifact) -> tuple[list[Artifact], list[str]]:
    """The networks that the scores were made with, and the references of those that are gone or were replaced."""
    found, missing = [], []
    for source in scores.record["inputs"]:
        if is_hub_reference(source["reference"]):
            continue  # It comes without a history.
        try:
            kind = "schedule" if source["reference"].startswith("schedule/") else "npnet"
            network = store.resolve(source["reference"], kind)
        except ArtifactError:
            missing.append(source["reference"])
            continue
        if network.fingerprint == source["fingerprint"]:
            found.append(network)
        else:
            missing.append(source["reference"])
    return found, missing
