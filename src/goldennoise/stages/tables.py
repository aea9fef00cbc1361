"""tables: the sentences and tables of many pages, experiment by experiment, on one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ConfigError
from goldennoise.stages.job import opened
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.options import Check, Options, option
from goldennoise.store.record import STAGE_OF_KIND

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

PAGES = ("report", "comparison", "prediction")
"""Kinds of artifacts that are pages."""


def _as_list(pages: Sequence[str]) -> str:
    return str([*pages])


@dataclass(frozen=True)
class Config(Options):
    """Which pages."""

    kind: str = "tables"
    """Of this stage."""
    pages: tuple[str, ...] = option((), Check(bool, 'the names of pages, such as ["report/shapes@v1"]', _as_list))
    """Pages in their order, such as "report/shapes@v1" or "comparison/steps@latest"."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pages", tuple(self.pages))
        super().__post_init__()


def run(config: RunConfig) -> Artifact:
    """The tables artifact: index.html, tables.md and tables.tex.

    Raises `ArtifactError` for a page that is not there or has no tables. Of several processes rank 0 does it.
    """
    with opened(config, "tables") as job:
        pages = [job.store.resolve(reference, _kind(reference)) for reference in config.stage.pages]
        for place, page in enumerate(pages):
            if page.reference in [earlier.reference for earlier in pages[:place]]:
                raise ConfigError(f"stage.pages: {page.reference} stands here twice; leave one out")
            page.check()
        if done := job.begin(lambda _: _identity(pages), pages, "index.html"):
            return done
        return job.finish(lambda draft: _write(draft, pages))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the tables artifact, see `stages.dry_run`."""
    found = [ahead.input(reference, _kind(reference)) for reference in config.stage.pages]
    pages = [page for page in found if page is not None]
    done = ahead.complete("tables", lambda _: _identity(pages), pages)
    return ahead.estimate("tables", done, {"pages": len(config.stage.pages)})


def _identity(pages: Sequence[Artifact]) -> dict[str, Any]:
    return {"pages": [page.reference for page in pages]}


def _kind(reference: str) -> str:
    """Of the artifact of a page. Raises `ConfigError` for another one."""
    kind = reference.partition("/")[0]
    if kind not in PAGES:
        made = ", ".join(f"{kind}/NAME (stage={STAGE_OF_KIND[kind]})" for kind in PAGES)
        raise ConfigError(f"stage.pages: {reference} is no page; a page is {made}")
    return kind


def _write(draft: Draft, pages: Sequence[Artifact]) -> Artifact:
    # Pandas loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.evaluation.report.excerpts import read_excerpt
    from goldennoise.evaluation.report.many import write_many

    write_many(draft.path, draft.reference, [(page, read_excerpt(page.path)) for page in pages])
    artifact = draft.commit({"pages": len(pages)})
    print(f"{artifact.reference} is written: {artifact.path / 'index.html'}")
    return artifact
