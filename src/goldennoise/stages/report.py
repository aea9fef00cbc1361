"""Stage `report`: from a scores artifact to a page, and its tables as Markdown and LaTeX."""

from dataclasses import dataclass
from typing import Any

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ArtifactError
from goldennoise.networks.sources import is_hub_reference
from goldennoise.stages.job import opened
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.options import Options, filled, number, option


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
        identity: dict[str, Any] = {"num_examples": stage.num_examples, "missing": missing}
        if stage.published is not None:
            identity["published"] = [*stage.published]

        def refuse_unfit() -> None:
            from goldennoise.evaluation.report.published import published_by_id

            published_by_id(stage.published or ())

        if done := job.begin(lambda _: identity, [scores, *networks], "index.html", refuse_unfit):
            return done
        return job.finish(lambda draft: _write(draft, scores, networks, missing, stage))


def _write(draft: Draft, scores: Artifact, networks: list[Artifact], missing: list[str], stage: Config) -> Artifact:
    # Matplotlib and pandas load here, when every mistake that can be seen without them has been reported.
    from goldennoise.evaluation.report.contents import page_content, write_report
    from goldennoise.evaluation.report.tables import to_text

    content = page_content(scores, networks, missing, stage.num_examples, stage.published)
    write_report(draft.path, content)
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
