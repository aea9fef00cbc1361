"""The filter is strict, knows the margin and the direction of the score."""

import numpy as np
import pytest

from goldennoise.data.pairs import PreferenceFilter


@pytest.mark.parametrize(
    ("margin", "higher_is_better", "expected"),
    [
        (0.0, True, [False, False, True, True]),
        (0.5, True, [False, False, False, True]),
        (0.0, False, [True, False, False, False]),
        (-0.5, True, [False, True, True, True]),
    ],
)
def test_keeps_what_is_better_by_more_than_the_margin(
    margin: float, higher_is_better: bool, expected: list[bool]
) -> None:
    source = np.array([1.0, 1.0, 1.0, 1.0])
    golden = np.array([0.5, 1.0, 1.5, 1.75])
    kept = PreferenceFilter("score", margin, higher_is_better).keep(source, golden)
    assert kept.tolist() == expected


def test_margin_counts_downwards_for_a_score_where_lower_is_better() -> None:
    kept = PreferenceFilter("score", 0.25, higher_is_better=False).keep(np.array([1.0, 1.0]), np.array([0.75, 0.5]))
    assert kept.tolist() == [False, True]


def test_the_gain_is_positive_where_the_golden_image_is_preferred() -> None:
    source, golden = np.array([1.0, 2.0]), np.array([1.5, 1.0])
    np.testing.assert_array_equal(PreferenceFilter("score").gain(source, golden), [0.5, -1.0])
    np.testing.assert_array_equal(PreferenceFilter("score", higher_is_better=False).gain(source, golden), [-0.5, 1.0])
