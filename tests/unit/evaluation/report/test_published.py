import math
from dataclasses import replace
from pathlib import Path

import pytest
from unit.evaluation.report.summaries import GAIN, NOTHING, summary

from goldennoise.errors import ConfigError, DataError
from goldennoise.evaluation.report.paper_numbers import PAPERS, Published, published_by_id, read_papers
from goldennoise.evaluation.report.published import SCORERS, published_table
from goldennoise.evaluation.report.tables import to_text
from goldennoise.evaluation.significance import detectable_difference
from goldennoise.evaluation.summary import Result, ScorerInfo, Summary
from goldennoise.scorers import kinds

NAMES = {"imagereward": "imagereward"}
SETTING = "- names: []\n  settings:\n    - {id: a, setting: SDXL, source: arXiv 1, values: {standard: {FID: 1.0}}}\n"


def by_imagereward() -> Summary:
    """npnet gains 0.031 by ImageReward in this run, with a standard error of 0.015 over 100 prompts."""
    found = summary()
    ours = {"standard": NOTHING, "npnet": replace(GAIN, standard_error=0.015)}
    for name, method in found.methods.items():
        method.scorers["imagereward"] = Result(ours[name], {})
    return replace(found, scorers=found.scorers | {"imagereward": ScorerInfo(True, "sd", "1", "reporting", 1.0)})


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (SETTING.replace("source: arXiv 1, ", ""), "0.settings.0.source"),
        (SETTING.replace("source: arXiv 1", "source: '  '"), "0.settings.0.source"),
        (SETTING.replace("FID: 1.0", "FID: much"), "0.settings.0.values.standard.FID"),
        (SETTING.replace("FID: 1.0", "FID: .nan"), "0.settings.0.values.standard.FID"),
        (SETTING.replace("FID: 1.0", "FID: true"), "0.settings.0.values.standard.FID"),
        (SETTING.replace("{FID: 1.0}", "{}"), "0.settings.0.values.standard"),
        (SETTING.replace("{standard: {FID: 1.0}}", "{}"), "0.settings.0.values"),
        (SETTING.replace("names: []", "names: ['']"), "0.names.0"),
        (SETTING.replace("id: a, ", "id: a, table: 3, "), "0.settings.0.table"),
        ("", "the file"),
    ],
)
def test_a_published_number_without_a_source_is_refused(tmp_path: Path, wrong: str, place: str) -> None:
    (tmp_path / "paper.yaml").write_text(SETTING)
    assert read_papers(tmp_path)["paper"][0].settings[0].source == "arXiv 1"
    (tmp_path / "paper.yaml").write_text(wrong)
    with pytest.raises(DataError, match=rf"paper\.yaml: {place} is missing or wrong \(.+\): every published number"):
        read_papers(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"- names: [zz", r"paper\.yaml is no YAML in UTF-8: "),
        (b"- names: [\xe9]", r"paper\.yaml is no YAML in UTF-8: "),
        ((SETTING + SETTING).encode(), r"paper\.yaml: two settings have the id a; every setting has its own"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "paper.yaml").write_bytes(content)
    with pytest.raises(DataError, match=expected) as caught:
        read_papers(tmp_path)
    assert "\n" not in str(caught.value)


def test_every_metric_of_a_scorer_of_ours_names_it() -> None:
    assert {scorer for scorer, _ in SCORERS.values()} <= set(kinds())
    names = [
        f"{paper}/{one.id}" for paper, found in read_papers(PAPERS).items() for part in found for one in part.settings
    ]
    assert len(names) == len(set(names)) >= 11
    assert [one.id for one in published_by_id(names)] == [name.partition("/")[2] for name in names]


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"stage\.published=find/sped: there is no such setting; .*did you mean find/speed\?"
    ):
        published_by_id(["find/sped"])


def test_ours_stands_below_in_the_published_unit() -> None:
    table = published_table(published_by_id(["golden_noise/sdxl_drawbench"]), by_imagereward(), NAMES)
    published, ours = table.sections
    assert [[cell.text for cell in row] for row in published.rows[:2]] == [
        ["standard", "62.21"],
        ["NPNet", "70.67 (+8.46)"],
    ]
    assert ours.title == "here: shapes"
    assert ours.rows[1][1].text.startswith("63.1 (+3.1 [+0.2, +6.0])"), "times 100, as published"


def test_a_scorer_counts_by_its_kind_and_not_by_its_name() -> None:
    settings = published_by_id(["golden_noise/sdxl_drawbench"])
    assert len(published_table(settings, by_imagereward(), {"shapes_clip": "imagereward"}).sections) == 1
    ours = published_table(settings, by_imagereward(), {"imagereward": "verifier"}).sections[1]
    assert [len(row) for row in ours.rows] == [2, 2]


def test_the_values_of_a_column_have_its_decimals() -> None:
    found = Published(id="a", setting="b", source="c", values={"standard": {"AES": 6.0373}, "mine": {"AES": 6.054}})
    (section,) = published_table([found], summary(), {}).sections
    assert [row[1].text for row in section.rows] == ["6.0373", "6.0540 (+0.0167)"]


def test_prompts_needed_are_those_of_the_published_gain() -> None:
    table = published_table(published_by_id(["golden_noise/sdxl_drawbench"]), by_imagereward(), NAMES)
    (row,) = [row for row in table.sections[0].rows if row[0].value.startswith("prompts that show")]
    needed = int(row[1].value)
    deviation = 0.015 * math.sqrt(100)
    assert detectable_difference(deviation / math.sqrt(needed), needed) <= 0.0846
    assert detectable_difference(deviation / math.sqrt(needed - 1), needed - 1) > 0.0846
    assert "2 seeds each" in table.footnotes[0]


def test_without_a_scorer_in_common_nothing_is_said_of_prompts() -> None:
    table = published_table(published_by_id(["training_noise/imagenet_256"]), summary(), {})
    assert [section.title for section in table.sections] == ["class-conditional ImageNet 256 px, lower is better"]
    assert table.footnotes == []
    assert "Laplace" in to_text(table)
    empty = Published(id="a", setting="b", source="c", values={"standard": {"FID": 1.0}, "other": {"KID": 2.0}})
    assert "–" in to_text(published_table([empty], summary(), {}))
