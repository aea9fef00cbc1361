import html
import re
from dataclasses import replace

import pytest
from unit.evaluation.report.summaries import CLIP, CLIP_GAIN, GAIN, NOTHING, summary

from goldennoise.evaluation.report.paper_numbers import published_for
from goldennoise.evaluation.report.published import published_table
from goldennoise.evaluation.report.results import category_table, main_scorer, result_table
from goldennoise.evaluation.report.sentences import headline
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table, to_html, to_latex, to_markdown, to_text
from goldennoise.evaluation.statistics import Comparison
from goldennoise.evaluation.summary import Against, Summary
from goldennoise.methods import component, kinds


def with_role(role: str) -> Summary:
    found = summary()
    scorers = {name: replace(info, role=role) for name, info in found.scorers.items() if name == "verifier"}
    return replace(found, scorers=scorers)


def test_a_gain_that_the_interval_shows() -> None:
    assert headline(summary()) == (
        "npnet improves verifier by +3.1 points [+0.2, +6.0] against standard at 1.00× the model evaluations."
    )


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (GAIN, "+3.1 points [+0.2, +6.0] against strong, the best of the controls."),
        (
            replace(GAIN, low=-0.01),
            "+3.1 points [−1.0, +6.0] against strong, the best of the controls: beside that the gain vanishes.",
        ),
        (
            replace(GAIN, difference=-0.031, low=-0.06, high=-0.002),
            "−3.1 points [−6.0, −0.2] against strong, the best of the controls: beside that the gain vanishes.",
        ),
    ],
)
def test_a_gain_is_held_against_other_guidance_scales(left: Comparison, said: str) -> None:
    found = summary()
    npnet = replace(found.methods["npnet"], matched={"verifier": Against("strong", left)})
    text = headline(replace(found, methods=found.methods | {"npnet": npnet}))
    assert text.startswith("npnet improves verifier by +3.1 points [+0.2, +6.0] against standard at 1.00×")
    assert text.endswith(f", and by {said}")


def test_a_loss_that_the_interval_shows() -> None:
    worse = replace(GAIN, difference=-0.031, low=-0.06, high=-0.002)
    assert headline(summary(worse)).startswith("npnet worsens verifier by −3.1 points [−6.0, −0.2] against standard")


def test_lower_can_be_better() -> None:
    found = summary()
    info = replace(found.scorers["verifier"], higher_is_better=False)
    assert headline(replace(found, scorers=found.scorers | {"verifier": info})).startswith(
        "npnet worsens verifier by +3.1"
    )


def test_a_description_has_no_better_end() -> None:
    found = summary()
    verifier = replace(found.scorers["verifier"], higher_is_better=None)
    described = replace(found, scorers=found.scorers | {"verifier": verifier})
    assert main_scorer(described) == "clip", "what only describes is no headline where a scorer judges"
    judging, describing = result_table(described).sections
    assert describing.note.endswith(", neither end is better")
    outcomes = [column.title for column in result_table(described).columns].index("wins / ties / losses")
    assert [row[outcomes].value for row in describing.rows] == ["–", "–"]
    assert [row[outcomes].value for row in judging.rows] == ["–", "70.0 / 0.0 / 30.0"]
    alone = replace(described, scorers={"verifier": verifier})
    assert headline(alone).startswith("npnet changes verifier by +3.1 points [+0.2, +6.0] against standard")


def test_an_interval_with_zero_shows_nothing() -> None:
    unclear = replace(GAIN, low=-0.01)
    assert headline(summary(unclear)).endswith(
        "+3.1 points [−1.0, +6.0] against standard at 1.00× the model evaluations: the interval includes zero, so no "
        "difference is shown."
    )


def test_a_few_prompts_show_nothing() -> None:
    assert "[no interval]" in headline(summary(replace(GAIN, low=None, high=None)))
    assert headline(summary(replace(GAIN, low=None, high=None))).endswith(": fewer than 6 prompts show nothing.")
    same = replace(GAIN, difference=0.0, low=0.0, high=0.0, wins=0.0, ties=1.0, losses=0.0)
    assert headline(summary(same)) == (
        "npnet has the same verifier as standard in every pair at 1.00× the model evaluations: no difference is shown."
    )


@pytest.mark.parametrize(
    ("role", "doubt"),
    [("selecting", "so this is no independent evidence."), ("unknown", "may be no independent evidence.")],
)
def test_a_scorer_that_selected_is_no_evidence(role: str, doubt: str) -> None:
    assert headline(with_role(role)).endswith(doubt)


def test_a_reference_alone_is_compared_with_nothing() -> None:
    found = summary()
    alone = replace(found, methods={"standard": found.methods["standard"]})
    assert (
        headline(alone)
        == "standard reaches 60.0 [55.0, 65.0] % right by verifier; there is no other method to compare it with."
    )


def test_reporting_scorers_come_first_and_roles_are_told_apart() -> None:
    sections = result_table(summary()).sections
    assert [section.title for section in sections] == ["verifier", "clip"]
    assert "reporting only" in sections[0].note
    assert "selecting" in sections[1].note


def test_a_row_has_numbers_interval_outcomes_and_cost() -> None:
    tested = replace(GAIN, p_value=0.02, standard_error=0.015)
    reference, row = result_table(summary(tested, replace(CLIP_GAIN, p_value=0.03))).sections[0].rows
    assert [cell.text for cell in row] == [
        "npnet",
        "63.1 [58.0, 68.0]",
        "+3.1 [+0.2, +6.0]",
        "0.040",
        "4.2",
        "20.0 / 63.1 / 16.9",
        "40 (1.00×)",
        "0.25 s",
        "300 MiB",
    ]
    assert [cell.strong for cell in row] == [False, False, True, *[False] * 6]
    assert reference[0].text == "standard reference"
    assert reference[2].text == "–"


def test_decimals_follow_the_width_of_the_interval() -> None:
    def difference(half_width: float) -> str:
        clip = replace(CLIP_GAIN, mean_low=CLIP_GAIN.mean - half_width, mean_high=CLIP_GAIN.mean + half_width)
        found = summary(clip_gain=clip)
        narrow = replace(CLIP, mean_low=CLIP.mean, mean_high=CLIP.mean)
        standard = found.methods["standard"]
        scorers = standard.scorers | {"clip": replace(standard.scorers["clip"], overall=narrow)}
        found = replace(found, methods=found.methods | {"standard": replace(standard, scorers=scorers)})
        return result_table(found).sections[1].rows[1][2].value

    assert [difference(width) for width in (30.0, 0.3, 0.003)] == ["0", "+0.50", "+0.5000"]


@pytest.mark.parametrize("table", [result_table(summary()), category_table(summary())])
def test_all_formats_hold_the_same_numbers(table: Table) -> None:
    cells = [cell.text for section in table.sections for row in section.rows for cell in row]
    expected = re.findall(r"\d+\.\d+", " ".join(cells))
    body = {
        "text": to_text(replace(table, footnotes=[])),
        "markdown": to_markdown(replace(table, footnotes=[])),
        "latex": to_latex(replace(table, footnotes=[])),
        "html": to_html(replace(table, footnotes=[])),
    }
    for name, text in body.items():
        assert re.findall(r"\d+\.\d+", text) == expected, name


HOSTILE = {
    "<img src=x onerror=a>": (r"&lt;img src=x onerror=a&gt;", r"\textless{}img src=x onerror=a\textgreater{}"),
    "a &lt;b&#60; & c": ("a &amp;lt;b&amp;#60; & c", r"a \&lt;b\&\#60; \& c"),
    "two\r\n\n| lines\u2028": (r"two \| lines ", "two | lines "),
    "[a](http://b)": (r"[a]\(http://b)", "{}[a](http://b)"),
    "* `a` ~~b~~": (
        r"\* \`a\` \~\~b\~\~",
        r"{}* `a` \textasciitilde{}\textasciitilde{}b\textasciitilde{}\textasciitilde{}",
    ),
}


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup(text: str) -> None:
    cells = [Cell(text), Cell(text, text, strong=True)]
    table = Table(text, [Column(text), Column(text, text)], [Section(text, text, [cells])], [text])
    markdown, latex = HOSTILE[text]
    lines = to_markdown(table).splitlines()
    assert len(lines) == 9
    assert lines[0] == f"### {markdown}"
    assert lines[2] == f"**{markdown}** ({markdown})"
    assert lines[6] == f"| {markdown} | **{markdown} {markdown}** |"
    assert lines[8] == f"- {markdown}"
    body = to_latex(table).splitlines()
    assert len(body) == 15
    assert body[10] == f"{latex} & \\textbf{{{latex.removeprefix('{}')} {latex.removeprefix('{}')}}} \\\\"
    assert to_text(table).count("\n") == 8
    tags = re.findall(r"<(\w+)", to_html(table))
    allowed = "figure div table caption thead tr th tbody td small strong p figcaption"
    assert set(tags) <= set(allowed.split())
    assert re.sub(r"<[^>]*>", "", to_html(table)).count(html.escape(text)) == 10


def test_what_is_special_in_a_format_is_escaped() -> None:
    table = category_table(summary())
    assert r"a\|b c & 100 %" in to_markdown(table)
    assert r"a|b c \& 100 \%" in to_latex(table)
    assert "a|b c &amp; 100 %" in to_html(table)
    assert to_latex(result_table(summary())).count(r"$\times$") == to_text(result_table(summary())).count("×")
    for line in to_markdown(table).splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5


def test_kinds_count_alike_in_their_mean() -> None:
    """Two kinds of unlike size: the mean is not that of all prompts."""
    found = summary()
    few = {"standard": replace(NOTHING, mean=0.2, num_prompts=20), "npnet": replace(GAIN, difference=-0.231)}
    for name, method in found.methods.items():
        verifier = method.scorers["verifier"]
        kinds = verifier.categories | {"few": few[name]}
        found.methods[name].scorers["verifier"] = replace(verifier, categories=kinds)
    table = category_table(found)
    rows = [[cell.text for cell in row] for row in table.sections[0].rows]
    # 100, 100 and 20 prompts; (60 + 60 + 20) / 3; (3.1 + 3.1 - 23.1) / 3
    assert rows[-1] == ["mean of the kinds", "220", "46.7", "−5.6"]
    assert len(rows) == 4
    assert "GenEval" in table.footnotes[1]


def test_one_kind_has_no_mean_of_the_kinds() -> None:
    found = summary()
    for method in found.methods.values():
        for name, result in method.scorers.items():
            method.scorers[name] = replace(result, categories={"two_object": result.overall})
    table = category_table(found)
    assert [len(section.rows) for section in table.sections] == [1, 1]
    assert [note.startswith("Bold or *") for note in table.footnotes] == [True]


def test_columns_of_text_are_aligned() -> None:
    lines = to_text(result_table(summary())).splitlines()
    rows = [line for line in lines if "MiB" in line]
    assert len({line.index("MiB") for line in rows}) == 1
    assert any("+3.1 [+0.2, +6.0] *" in line for line in rows)


def test_published_numbers_belong_to_their_models() -> None:
    assert published_for("shapes") == ()
    assert published_for("stable-diffusion-v1-5") == ()
    (pick_a_pic, drawbench) = published_for("owner/stable-diffusion-xl-base-1.0")
    assert pick_a_pic.values["NPNet"]["ImageReward x 100"] == 65.01
    assert drawbench.values["standard"] == {"ImageReward x 100": 62.21}
    assert published_for("owner/SDXL-Lightning")[0].setting.startswith("SDXL-Lightning")
    assert published_for("owner/sdxl with ByteDance/SDXL-Lightning/4step.safetensors")[0].setting.startswith("SDXL-Li")
    assert published_for("owner/sdxl with mine/style.safetensors") == published_for("stabilityai/sdxl-turbo") == ()
    assert published_for("Lykon/dreamshaper-xl-v2-turbo")[0].setting.startswith("DreamShaper")
    assert published_for("owner/lcm-sdxl")[0].values["NPNet"]["HPSv2"] == 26.83
    text = to_text(published_table(published_for("sdxl"), summary(), {}))
    assert text.count("published, not measured here") == 2
    assert "–" in text


def test_rows_of_published_methods_say_that_they_are_not_the_papers() -> None:
    found = summary()
    assert not any("docs/science.md" in note for note in result_table(found).footnotes)
    npnet = found.methods["npnet"]
    kinds = {"reinforce": "find", "find": "find", "gradient": "gradient", "gone": "of another version"}
    others = {name: replace(npnet, kind=kind) for name, kind in kinds.items()}
    (note,) = [
        note
        for note in result_table(replace(found, methods=found.methods | others)).footnotes
        if "docs/science.md" in note
    ]
    for kind in ("find", "gradient"):
        assert note.count(component(kind).DIFFERS) == 1


@pytest.mark.parametrize("kind", [kind for kind in kinds() if hasattr(component(kind), "DIFFERS")])
def test_what_differs_is_told_by_the_methods_name(kind: str) -> None:
    assert component(kind).DIFFERS.startswith(f"{kind} ")
    assert component(kind).DIFFERS.endswith(".")


def test_the_protocol_stands_under_every_table_of_scores() -> None:
    assert not any("Protocol" in note for note in result_table(summary()).footnotes)
    protocol = {"prompts": "100 of 200 prompts of drawbench.csv (version v1)", "seeds": "seeds 0 to 1 of root seed 7"}
    found = replace(summary(), protocol=protocol)
    expected = [
        "Protocol: 100 of 200 prompts of drawbench.csv (version v1); seeds 0 to 1 of root seed 7.",
        "Scorers: clip (version 1), verifier (version 1).",
    ]
    assert result_table(found).footnotes[-2:] == expected
    assert category_table(found).footnotes[-2:] == expected
