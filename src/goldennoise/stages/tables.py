"""tables: the sentences and tables of many pages, experiment by experiment, on one page."""

from collections.abc import Sequence
from dataclasses import dataclass

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ConfigError
from goldennoise.stages.job import opened
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.options import Check, Options, option
from goldennoise.store.record import STAGE_OF_KIND

PAGES = ("report", "comparison")
"""Kinds of artifacts that are pages."""


@dataclass(frozen=True)
class Config(Options):
    """Which pages."""

    kind: str = "tables"
    """Of this stage."""
    pages: tuple[str, ...] = option((), Check(bool, 'the names of pages, such as ["report/shapes@v1"]'))
    """Pages in their order, such as "report/shapes@v1" or "comparison/steps@latest"."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pages", tuple(self.pages))
        super().__post_init__()


def run(config: RunConfig) -> Artifact:
    """The tables artifact: index.html, tables.md and tables.tex.

    Raises `ArtifactError` for a page that is not there or has no tables. Of several processes rank 0 does it.
    """
    with opened(config, "tables") as job:
        pages = [_page(job.store, reference) for reference in config.stage.pages]
        for page in pages:
            page.check()
        if done := job.begin(lambda _: {"pages": [page.reference for page in pages]}, pages, "index.html"):
            return done
        return job.finish(lambda draft: _write(draft, pages))


def _page(store: ArtifactStore, reference: str) -> Artifact:
    kind = reference.partition("/")[0]
    if kind not in PAGES:
        made = ", ".join(f"{kind}/NAME (stage={STAGE_OF_KIND[kind]})" for kind in PAGES)
        raise ConfigError(f"stage.pages: {reference} is no page; a page is {made}")
    return store.resolve(reference, kind)


def _write(draft: Draft, pages: Sequence[Artifact]) -> Artifact:
    # Pandas loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.evaluation.report.excerpts import read_excerpt
    from goldennoise.evaluation.report.many import write_page

    write_page(draft.path, draft.reference, [(page, read_excerpt(page.path)) for page in pages])
    artifact = draft.commit({"pages": len(pages)})
    print(f"{artifact.reference} is written: {artifact.path / 'index.html'}")
    return artifact
