"""Pages that stages make, opened in a headless browser."""

import json
from pathlib import Path

import pytest
from integration.browser import needs_chromium, opened

from goldennoise.evaluation.report.page import PageContent, render
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table

pytestmark = needs_chromium

ROWS = {
    "standard": ("–", "0.5", "1,257 MiB"),
    "npnet": ("+2.5", "10", "12.0 GiB"),
    "tone 10": ("−1.5", "9.5", "900 MiB"),
    "tone 9": ("0", "100", "–"),
}
BODIES = "[...document.querySelectorAll('#results + figure tbody')]"
COLUMN = "[...BODIES[{body}].rows].slice(1).map(row => row.cells[0].textContent)".replace("BODIES", BODIES)
CLICK = "document.querySelectorAll('#results + figure thead button')[{head}].click()"
SORT = "document.querySelectorAll('#results + figure thead th')[{head}].getAttribute('aria-sort')"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with one table of two sections."""
    rows = [[Cell(name, "here"), *(Cell(value, "[0, 1]" * (value != "–")) for value in ROWS[name])] for name in ROWS]
    columns = [Column("method", numeric=False), Column("difference"), Column("evaluations"), Column("memory")]
    table = Table("Results", columns, [Section("one", "first", rows), Section("two", "", rows[:2])])
    none = Table("None", columns, [])
    content = PageContent("a", "b", [], table, none, [], [], [], "", {}, None, {})
    (tmp_path / "index.html").write_text(render(content), "utf-8")
    return tmp_path / "index.html"


@pytest.mark.parametrize(
    ("head", "up"),
    [
        (0, ["npnet", "standard", "tone 9", "tone 10"]),
        (1, ["tone 10", "tone 9", "npnet", "standard"]),
        (2, ["standard", "tone 10", "npnet", "tone 9"]),
        (3, ["tone 10", "standard", "npnet", "tone 9"]),
    ],
)
def test_a_click_on_a_head_sorts_every_section_up_then_down_then_back(page: Path, head: int, up: list[str]) -> None:
    steps = [f"{COLUMN.format(body=0)}, {COLUMN.format(body=1)}, {SORT.format(head=head)}"] * 4
    asked = f"[[{steps[0]}]" + "".join(f", ({CLICK.format(head=head)}, [{step}])" for step in steps[1:]) + "]"
    found = opened(page, f"JSON.stringify({asked})")
    assert found.complaints == []
    named = [
        [[name.removesuffix(" here") for name in names] for names in step[:2]] for step in json.loads(found.answer)
    ]
    missing = [name for name in up if ROWS[name][head - 1] == "–"] if head else []
    down = [name for name in up[::-1] if name not in missing] + missing
    assert [step[0] for step in named] == [[*ROWS], up, down, [*ROWS]]
    assert named[1][1] == [name for name in up if name in ("standard", "npnet")]
    assert [step[2] for step in json.loads(found.answer)] == [None, "ascending", "descending", None]


def test_headings_of_sections_stay_and_one_column_is_sorted_at_a_time(page: Path) -> None:
    heads = "[...document.querySelectorAll('[aria-sort]')].map(th => th.textContent)"
    kinds = f"{BODIES}.map(body => body.rows[0].className).concat({heads})"
    asked = f"{CLICK.format(head=1)}, {CLICK.format(head=2)}, {kinds}"
    assert opened(page, f"JSON.stringify(({asked}))").answer == '["section","section","evaluations"]'


def test_heads_are_reached_by_keyboard(page: Path) -> None:
    asked = "[...document.querySelectorAll('#results + figure thead th')].map(th => th.firstChild).every(button => "
    asked += "(button.focus(), document.activeElement === button && button.type === 'button'))"
    assert opened(page, asked).answer == "true"


def test_the_page_can_ask_nothing_of_a_network(page: Path) -> None:
    text = page.read_text("utf-8")
    page.write_text(text.replace("<main>", '<main><img src="http://127.0.0.1:9/a.png" alt="">'), "utf-8")
    (complaint,) = opened(page).complaints
    assert "Content Security Policy" in complaint
