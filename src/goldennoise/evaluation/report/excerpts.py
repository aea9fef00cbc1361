"""Sentences and tables of a page as data, from which one page of many is put together."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from goldennoise.errors import ArtifactError
from goldennoise.evaluation.report.page import PageContent
from goldennoise.evaluation.report.tables import Table, all_tables, to_latex, to_markdown
from goldennoise.store.files import write_json
from goldennoise.store.record import read_json

FILE = "tables.json"


@dataclass(frozen=True)
class Excerpt:
    """What a page says: its headline, the sentences below it, and its tables from top to bottom."""

    title: str
    headline: str
    sentences: Sequence[str]
    tables: Sequence[Table]


def excerpt_of(content: PageContent) -> Excerpt:
    """Of a page, with all tables but those that check the noise and the diversity."""
    checks = set(map(id, content.checks))
    tables = [table for table in content.tables if id(table) not in checks]
    return Excerpt(content.title, content.headline, content.sentences, tables)


def write_report(folder: Path, html: str, tables: Sequence[Table], excerpt: Excerpt) -> None:
    """index.html; all tables as tables.md and tables.tex; tables.json, the excerpt as data."""
    markdown, latex = (all_tables(tables, form) for form in (to_markdown, to_latex))
    for name, text in (("tables.md", markdown), ("tables.tex", latex), ("index.html", html)):
        (folder / name).write_text(text, encoding="utf-8")
    write_json(folder / FILE, asdict(excerpt))


def read_excerpt(folder: Path) -> Excerpt:
    """The excerpt of a page. Raises `ArtifactError` for a page without one, or with other content."""
    file = folder / FILE
    if not file.is_file():
        raise ArtifactError(
            f"{folder} has no {FILE}, as pages of earlier versions: delete that folder and make it again"
        )
    try:
        excerpt: Excerpt = TypeAdapter(Excerpt).validate_python(read_json(file))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise ArtifactError(f"{file} is damaged: {place} is missing or of another type; make the page again") from None
    return excerpt
