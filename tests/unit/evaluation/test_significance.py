import math

import numpy as np
import pytest
from scipy import stats

from goldennoise.evaluation.significance import (
    LEVEL,
    clusters_needed,
    detectable_difference,
    holm,
    sign_flip_p_values,
    standard_errors,
)
from goldennoise.evaluation.statistics import compare


def test_few_clusters_are_flipped_in_every_way() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, size=(11, 3))
    found = sign_flip_p_values(values, np.arange(11), seed=0)
    for column, p_value in zip(values.T, found, strict=True):
        exact = stats.permutation_test((column,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert p_value == pytest.approx(exact.pvalue, abs=1e-12)


def test_all_seeds_of_a_prompt_flip_together() -> None:
    random = np.random.default_rng(1)
    means = random.normal(0.3, 1, size=(9, 1))
    clusters = np.repeat(np.arange(9), 4)
    values = np.repeat(means, 4, axis=0) + np.tile([-0.2, -0.1, 0.1, 0.2], 9)[:, None]
    of_means = sign_flip_p_values(means, np.arange(9), seed=0)
    np.testing.assert_allclose(sign_flip_p_values(values, clusters, seed=0), of_means, rtol=1e-12)
    assert sign_flip_p_values(values, np.arange(36), seed=0) < of_means, "as if seeds were prompts"


def test_many_clusters_agree_with_students_test() -> None:
    values = np.random.default_rng(2).normal([0.0, 0.1, 0.18], 1, size=(300, 3))
    expected = stats.ttest_1samp(values, 0).pvalue
    np.testing.assert_allclose(sign_flip_p_values(values, np.arange(300), seed=0), expected, atol=0.02)


def test_no_difference_at_all_is_no_evidence() -> None:
    for num in (5, 40):
        assert sign_flip_p_values(np.zeros((num, 1)), np.arange(num), seed=0) == [1.0]
    sure = sign_flip_p_values(np.ones((40, 1)), np.arange(40), seed=0)
    assert sure == pytest.approx(1 / 10_001), "random flips never give a p-value of zero"


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_refuses_what_stepping_through_by_hand_refuses() -> None:
    random = np.random.default_rng(3)
    for _ in range(200):
        p_values = random.uniform(size=7) ** 4
        order, refused = np.argsort(p_values), set()
        for rank, place in enumerate(order):
            if p_values[place] > LEVEL / (7 - rank):
                break
            refused.add(int(place))
        assert {i for i, p in enumerate(holm([*p_values])) if p <= LEVEL} == refused


def test_standard_error_of_single_samples_and_of_clusters() -> None:
    values = np.random.default_rng(4).normal(size=(50, 2))
    np.testing.assert_allclose(standard_errors(values, np.arange(50)), stats.sem(values), rtol=1e-12)
    repeated = standard_errors(np.repeat(values, 6, axis=0), np.repeat(np.arange(50), 6))
    np.testing.assert_allclose(repeated, stats.sem(values), rtol=1e-12)
    assert np.isnan(standard_errors(values, np.zeros(50))).all()


def test_the_detectable_difference_shows_in_four_tables_of_five() -> None:
    num, random = 30, np.random.default_rng(5)
    difference = detectable_difference(1 / math.sqrt(num), num)
    samples = random.normal(difference, 1, size=(num, 2_000))
    shown = np.mean(stats.ttest_1samp(samples, 0).pvalue < 0.05)
    assert shown == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("difference", [0.1, -0.1, 0.5, 3.0])
def test_clusters_needed_are_the_fewest_that_detect_it(difference: float) -> None:
    def detectable(num: int) -> float:
        return detectable_difference(1 / math.sqrt(num), num)

    needed = clusters_needed(difference, 1 / math.sqrt(64), 64)
    assert detectable(needed) <= abs(difference)
    assert needed == 2 or detectable(needed - 1) > abs(difference)


def test_tables_without_an_effect_show_none_and_their_intervals_cover_zero() -> None:
    """400 tables of 4 methods by 2 scorers, 40 prompts x 3 seeds: one scorer continuous, one right or wrong.

    At most 6 of 100 may show a difference, and 93 to 97 of 100 intervals hold the true one, zero.
    """
    random, clusters, nulls, covered = np.random.default_rng(6), np.repeat(np.arange(40), 3), 0, []
    for table in range(400):
        found = []
        for is_share in (False, True):
            hardness = np.repeat(random.normal(size=40), 3)
            scores = hardness + np.repeat(random.normal(size=(5, 40)), 3, axis=1) + random.normal(size=(5, 120))
            named = dict(zip("rabcd", (scores > 0).astype(float) if is_share else scores, strict=True))
            compared = compare(named, "r", clusters, True, 1_000, seed=table)
            found += [compared[method] for method in "abcd"]
        nulls += min(holm([float(one.p_value or 0) for one in found])) >= LEVEL
        covered += [float(one.low or 0) <= 0 <= float(one.high or 0) for one in found]
    assert nulls / 400 >= 0.94
    assert 0.93 <= np.mean(covered) <= 0.97


def test_an_effect_shows_where_it_is() -> None:
    random, clusters = np.random.default_rng(7), np.repeat(np.arange(100), 2)
    base, noise = random.normal(size=200), random.normal(size=200)
    scores = {"base": base, "better": base + 0.5 + noise, "same": base + noise - noise.mean()}
    found = compare(scores, "base", clusters, True, 1_000, seed=0)
    better, same = holm([float(found[name].p_value or 0) for name in ("better", "same")])
    assert better < 0.001
    assert same > LEVEL
