"""Stage `report`: from a scores artifact to a page, and its tables as Markdown and LaTeX."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldennoise.errors import ArtifactError, require
from goldennoise.runtime.processes import joined
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.record import read_artifact

if TYPE_CHECKING:
    from goldennoise.config.compose import RunConfig


@dataclass(frozen=True)
class Config:
    """scores: the artifact to report on. num_examples: rows of the image grid."""

    kind: str = "report"
    scores: str = "scores/shapes@latest"
    num_examples: int = 12

    def __post_init__(self) -> None:
        require(bool(self.scores), "scores", repr(self.scores), "the name of a scores artifact")
        require(self.num_examples >= 1, "num_examples", self.num_examples, "at least 1")


def run(config: "RunConfig") -> Artifact:
    """Write the report artifact: index.html, tables.md, tables.tex. Raises ArtifactError for scores it cannot use.

    Of several processes rank 0 does it.
    """
    with joined(config.compute) as processes:
        return read_artifact(Path(processes.from_first(lambda: {"path": str(_report(config).path)})["path"]))


def _report(config: "RunConfig") -> Artifact:
    stage: Config = config.stage
    store = ArtifactStore(config.outputs)
    scores = store.resolve(stage.scores, "scores")
    scores.check()
    networks, missing = _networks(store, scores)
    identity = {"num_examples": stage.num_examples, "missing": missing}
    outcome = store.begin("report", config.name, config.version, identity, [scores, *networks], asdict(config))
    if isinstance(outcome, Artifact):
        print(f"{outcome.reference} is complete: {outcome.path / 'index.html'}")
        return outcome
    # Matplotlib and pandas load here, when every mistake that can be seen without them has been reported.
    from goldennoise.evaluation.report.contents import page_content, write_report
    from goldennoise.evaluation.report.page import render
    from goldennoise.evaluation.report.tables import all_tables, to_latex, to_markdown

    with outcome as draft:
        content = page_content(scores, networks, missing, stage.num_examples)
        markdown, latex = (all_tables(content.tables, form) for form in (to_markdown, to_latex))
        write_report(draft.path, render(content), markdown, latex)
        artifact = draft.commit({"examples": len(content.rows), "figures": len(content.figures)})
    print(f"{artifact.reference} is written: {artifact.path / 'index.html'}")
    return artifact


def _networks(store: ArtifactStore, scores: Artifact) -> tuple[list[Artifact], list[str]]:
    """The npnet artifacts the scores were made with, and the references of those that are gone or were replaced."""
    found, missing = [], []
    for source in scores.record["inputs"]:
        if not source["reference"].startswith("npnet/"):
            continue
        try:
            network = store.resolve(source["reference"], "npnet")
        except ArtifactError:
            missing.append(source["reference"])
            continue
        if network.fingerprint == source["fingerprint"]:
            found.append(network)
        else:
            missing.append(source["reference"])
    return found, missing
