"""The page: one HTML file that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from goldennoise.evaluation.report.grids import Row
from goldennoise.evaluation.report.tables import Table, to_html


@dataclass(frozen=True)
class Figure:
    """An inline SVG. description: what it shows, for those who cannot see it."""

    title: str
    svg: str
    description: str
    caption: str


@dataclass(frozen=True)
class Chapter:
    """A section on one question, with what is said of it first."""

    title: str
    sentences: Sequence[str]
    figures: Sequence[Figure]
    tables: Sequence[Table]


@dataclass(frozen=True)
class PageContent:
    """All that `templates/page.html` shows, from top to bottom.

    results, kinds: of all prompts, and by kind of prompt. checks: tables that test a gain. scorers: what their numbers
    mean. arms: which models are compared, where there are several. chapters: on questions that not every evaluation
    asks.
    method_colours: method -> number of its colour. grid_note: how the examples were chosen and marked.
    made: term -> text, how the numbers were made.
    """

    title: str
    headline: str
    sentences: Sequence[str]
    results: Table
    kinds: Table
    checks: Sequence[Table]
    figures: Sequence[Figure]
    rows: Sequence[Row]
    grid_note: str
    method_colours: Mapping[str, int]
    published: Table | None
    made: Mapping[str, str]
    arms: Table | None = None
    scorers: Table | None = None
    chapters: Sequence[Chapter] = ()

    @property
    def tables(self) -> list[Table]:
        """All tables, from top to bottom."""
        questions = [table for chapter in self.chapters for table in chapter.tables]
        tables = [self.arms, self.results, *questions, self.kinds, *self.checks, self.scorers, self.published]
        return [table for table in tables if table is not None]


def render(content: Any, template: str = "page.html") -> str:
    """The whole HTML page. content: a `PageContent`, or what another template of this folder shows."""
    return environment().get_template(template).render(page=content)


def environment() -> Environment:
    """Of all templates."""
    found = Environment(
        loader=PackageLoader("goldennoise.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["table"] = lambda table: Markup(to_html(table))
    found.filters["svg"] = Markup
    return found
