from dataclasses import replace

import numpy as np
import pytest
from unit.evaluation.report.summaries import CLIP_GAIN, GAIN, NOTHING, summary

from goldennoise.evaluation.report.drawing import errors_of
from goldennoise.evaluation.report.marks import Correction, p_text
from goldennoise.evaluation.report.numbers import Scale
from goldennoise.evaluation.report.results import category_table, result_table
from goldennoise.evaluation.report.sentences import headline
from goldennoise.evaluation.report.tables import to_text


def test_marks_are_corrected_for_all_comparisons_of_the_table() -> None:
    alone, other = replace(GAIN, p_value=0.03), replace(CLIP_GAIN, p_value=0.6)
    assert Correction([alone]).shows(alone)
    assert Correction([alone]).p_value(alone) == 0.03
    both = Correction([alone, other])
    assert not both.shows(alone), "its interval excludes zero, and 2 x 0.03 is above 0.05"
    assert both.p_value(alone) == pytest.approx(0.06)
    assert "for the 2 comparisons of this table" in both.note


def test_comparisons_of_older_evaluations_are_marked_by_their_interval() -> None:
    old = Correction([GAIN, CLIP_GAIN])
    assert (old.shows(GAIN), old.shows(CLIP_GAIN), old.p_value(GAIN)) == (True, False, None)
    assert old.note.endswith("excludes zero; no correction for several comparisons.")
    assert "Detectable" not in to_text(result_table(summary()))


def test_one_method_is_compared_with_nothing() -> None:
    assert Correction([]).note == "Nothing is compared: there is one method."


def test_a_bar_without_an_interval_has_no_ends() -> None:
    errors = errors_of([GAIN, replace(GAIN, mean_low=None, mean_high=None)], Scale(100.0, 1, "%", "points"))
    assert np.isnan(errors[:, 1]).all()
    assert (errors[:, 0] > 0).all()


def test_the_headline_claims_no_more_than_the_corrected_table() -> None:
    surely = headline(summary(replace(GAIN, p_value=0.001), replace(CLIP_GAIN, p_value=0.2)))
    assert surely.startswith("npnet improves verifier by +3.1 points")
    perhaps = headline(summary(replace(GAIN, p_value=0.03), replace(CLIP_GAIN, p_value=0.2)))
    assert perhaps.startswith("npnet changes verifier by +3.1 points [+0.2, +6.0] against standard")
    assert perhaps.endswith("among 2 comparisons that may be chance (p 0.060 after Holm's correction).")


def test_the_table_of_kinds_is_corrected_for_its_own_comparisons() -> None:
    found = summary(replace(GAIN, p_value=0.01), replace(CLIP_GAIN, p_value=0.9))
    table = category_table(found)
    assert "for the 4 comparisons of this table" in table.footnotes[0]
    assert [row[3].strong for row in table.sections[0].rows] == [True, True, False]
    weaker = category_table(summary(replace(GAIN, p_value=0.02), replace(CLIP_GAIN, p_value=0.9)))
    assert not any(row[3].strong for row in weaker.sections[0].rows), "4 x 0.02 is above 0.05"


@pytest.mark.parametrize(
    ("p_value", "text"), [(None, "–"), (0.0001, "< 0.001"), (0.04, "0.040"), (0.25, "0.25"), (1.0, "1.00")]
)
def test_p_values_are_written_short(p_value: float | None, text: str) -> None:
    assert p_text(p_value) == text


def test_the_reference_has_no_p_value_and_no_detectable_difference() -> None:
    tested = replace(GAIN, p_value=0.001, standard_error=0.0146)
    reference, row = result_table(summary(tested)).sections[0].rows
    assert [reference[3].text, reference[4].text] == ["–", "–"]
    assert row[4].text == "4.1", "2.8 standard errors, of 1.46 points, and a little more for 100 prompts"
    assert NOTHING.p_value is None
