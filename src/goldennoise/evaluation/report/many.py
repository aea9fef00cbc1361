"""One page for many pages: the headline of each, then its sentences and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldennoise.evaluation.report.excerpts import Excerpt
from goldennoise.evaluation.report.page import render
from goldennoise.evaluation.report.tables import all_tables, to_latex, to_markdown
from goldennoise.store.artifacts import Artifact


@dataclass(frozen=True)
class Part:
    """One page on the page of many. name, anchor: of its artifact; link: to the page, from the page of many."""

    name: str
    anchor: str
    link: str
    excerpt: Excerpt


@dataclass(frozen=True)
class Many:
    """All that `templates/many.html` shows."""

    title: str
    parts: Sequence[Part]


def write_many(folder: Path, title: str, pages: Sequence[tuple[Artifact, Excerpt]]) -> None:
    """index.html, tables.md and tables.tex in `folder`, a version's folder of the same store."""
    parts = [
        Part(
            page.name,
            f"{page.kind}-{page.name}-{page.version}",
            f"../../../{page.kind}/{page.name}/{page.version}/index.html",
            excerpt,
        )
        for page, excerpt in pages
    ]
    (folder / "index.html").write_text(render(Many(title, parts), "many.html"), encoding="utf-8")
    for name, form in (("tables.md", to_markdown), ("tables.tex", to_latex)):
        texts = [f"{_comment(name)} {part.name}: {part.excerpt.headline}\n\n" for part in parts]
        tables = [all_tables(part.excerpt.tables, form) for part in parts]
        (folder / name).write_text("\n".join(map("".join, zip(texts, tables, strict=True))), encoding="utf-8")


def _comment(name: str) -> str:
    """Prefix of the line between tables: a heading of Markdown, a comment of LaTeX."""
    return "%" if name.endswith(".tex") else "##"
