"""One table, written four ways: plain text, Markdown, LaTeX (booktabs) and HTML hold the same cells."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "×": r"$\times$",
    "–": "--",
    "…": r"\dots{}",
}
_PIPE = {"<": "&lt;", ">": "&gt;", **{character: f"\\{character}" for character in "\\|*_`~"}}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""Line ends of every kind, and what a terminal or LaTeX obeys or refuses."""


@dataclass(frozen=True)
class Cell:
    """A value and, set apart from it, its detail: an interval, a ratio. strong: the interval excludes zero."""

    value: str
    detail: str = ""
    strong: bool = False

    @property
    def text(self) -> str:
        return f"{self.value} {self.detail}" if self.detail else self.value


@dataclass(frozen=True)
class Column:
    """Numbers are aligned right. detail: what the details of its cells are."""

    title: str
    detail: str = ""
    numeric: bool = True

    @property
    def text(self) -> str:
        return f"{self.title} {self.detail}" if self.detail else self.title


@dataclass(frozen=True)
class Section:
    """Rows under a heading of their own. note: a short remark beside the heading."""

    title: str
    note: str
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Table:
    """caption: one sentence. footnotes: how to read it."""

    caption: str
    columns: Sequence[Column]
    sections: Sequence[Section]
    footnotes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for section in self.sections:
            assert all(len(row) == len(self.columns) for row in section.rows), "every row fills every column"


def to_text(table: Table) -> str:
    """For a terminal: aligned with spaces; * marks a strong cell."""
    rows, titles = _starred(table), [_line(column.text) for column in table.columns]
    widths = [max(map(_width, column)) for column in zip(titles, *rows, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

    def line(texts: Sequence[str]) -> str:
        padded = [
            " " * (width - _width(text)) + text if column.numeric else text + " " * (width - _width(text))
            for text, width, column in zip(texts, widths, table.columns, strict=True)
        ]
        return "  ".join(padded).rstrip()

    lines = [_line(table.caption), rule, line(titles), rule]
    unwritten = iter(rows)
    for section in table.sections:
        lines += [_heading(section), *(line(next(unwritten)) for _ in section.rows), rule]
    return "\n".join([*lines, *map(_line, table.footnotes)]) + "\n"


def to_markdown(table: Table) -> str:
    """One pipe table per section, since Markdown has no rows that span columns."""
    lines = [f"### {_pipe(table.caption)}", ""]
    for section in table.sections:
        lines += [f"**{_pipe(section.title)}**" + (f" ({_pipe(section.note)})" if section.note else ""), ""]
        lines.append("| " + " | ".join(_pipe(column.text) for column in table.columns) + " |")
        lines.append("|" + "|".join("---:" if column.numeric else "---" for column in table.columns) + "|")
        for row in section.rows:
            cells = [f"**{_pipe(cell.text)}**" if cell.strong else _pipe(cell.text) for cell in row]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join([*lines, *(f"- {_pipe(note)}" for note in table.footnotes), ""])


def to_latex(table: Table) -> str:
    """A `table` environment as wide as the text; the document loads booktabs and graphicx."""
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [r"\begin{table}[t]", r"\centering", r"\small", f"\\caption{{{_latex(table.caption)}}}"]
    lines += [r"\resizebox{\linewidth}{!}{%", f"\\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines.append(_latex_row([_latex(column.text) for column in table.columns]))
    for section in table.sections:
        lines += [
            r"\midrule",
            f"\\multicolumn{{{len(table.columns)}}}{{l}}{{\\emph{{{_latex(_heading(section))}}}}} \\\\",
        ]
        for row in section.rows:
            cells = [f"\\textbf{{{_latex(cell.text)}}}" if cell.strong else _latex(cell.text) for cell in row]
            lines.append(_latex_row(cells))
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines += [f"\\par\\smallskip\\footnotesize {_latex(note)}" for note in table.footnotes]
    return "\n".join([*lines, r"\end{table}", ""])


def to_html(table: Table) -> str:
    """A scrolling figure around a table with a caption, headings with scope, and one body per section."""
    head = "".join(
        _tag("th", _with_detail(html.escape(c.title), c.detail), c.numeric, ' scope="col"') for c in table.columns
    )
    bodies = []
    for section in table.sections:
        title = f"{html.escape(section.title)}" + (
            f" <small>{html.escape(section.note)}</small>" if section.note else ""
        )
        rows = [f'<tr class="section"><th scope="rowgroup" colspan="{len(table.columns)}">{title}</th></tr>']
        for row in section.rows:
            first = _tag("th", _html(row[0]), table.columns[0].numeric, ' scope="row"')
            rest = [_tag("td", _html(c), k.numeric) for c, k in zip(row[1:], table.columns[1:], strict=True)]
            rows.append(f"<tr>{first}{''.join(rest)}</tr>")
        bodies.append(f"<tbody>{''.join(rows)}</tbody>")
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.footnotes)
    return (
        f'<figure class="table"><div class="scroll" tabindex="0"><table><caption>{html.escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>{''.join(bodies)}</table></div>"
        f"{f'<figcaption>{notes}</figcaption>' if notes else ''}</figure>"
    )


def all_tables(tables: Sequence[Table], write: Callable[[Table], str]) -> str:
    """Several tables in one file."""
    return "\n".join(write(table) for table in tables)


def _heading(section: Section) -> str:
    return _line(f"{section.title} ({section.note})" if section.note else section.title)


def _starred(table: Table) -> list[list[str]]:
    """Texts of all rows; where one cell of a column has a star, the others keep its place free, so digits align."""
    rows = [row for section in table.sections for row in section.rows]
    starred = [any(cell.strong for cell in column) for column in zip(*rows, strict=True)]
    return [
        [_line(cell.text) + (" *" if cell.strong else "  ") * star for cell, star in zip(row, starred, strict=True)]
        for row in rows
    ]


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pipe(text: str) -> str:
    # An entity, and the target of a link, are the rest of what Markdown reads out of plain text.
    plain = re.sub(r"&(?=#?\w+;)", "&amp;", _line(text))
    escaped = "".join(_PIPE.get(character, character) for character in plain)
    return escaped.replace("](", r"]\(")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in _line(text))


def _latex_row(cells: Sequence[str]) -> str:
    """After the end of a row LaTeX takes a bracket or a star for an argument of it."""
    row = " & ".join(cells) + r" \\"
    return "{}" + row if row.startswith(("[", "*")) else row


def _line(text: str) -> str:
    return _CONTROLS.sub(" ", text)


def _tag(name: str, content: str, numeric: bool, attributes: str = "") -> str:
    kind = ' class="number"' if numeric else ""
    return f"<{name}{kind}{attributes}>{content}</{name}>"


def _html(cell: Cell) -> str:
    value = html.escape(cell.value)
    value = f"<strong>{value}</strong>" if cell.strong else value
    return _with_detail(value, cell.detail)


def _with_detail(value: str, detail: str) -> str:
    return f"{value} <small>{html.escape(detail)}</small>" if detail else value
