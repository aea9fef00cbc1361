import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from goldennoise.evaluation.prediction import (
    Images,
    Prediction,
    Verdict,
    chosen_score,
    expected_best_of,
    referee,
    row_kendall,
    row_spearman,
)
from goldennoise.evaluation.statistics import tail

Array = NDArray[np.float64]


def drawn(seed: int, prompts: int = 20, num: int = 6, levels: int | None = None) -> tuple[Array, Array]:
    """Scores and values that agree a little; of so many levels each, hence with ties."""
    random = np.random.default_rng(seed)
    hard = random.normal(size=(prompts, 1))
    scores = hard + random.normal(size=(prompts, num))
    values = scores + random.normal(scale=2, size=(prompts, num))
    return (scores, values) if levels is None else (np.round(scores * levels / 4), np.round(values * levels / 4))


def judge(scores: Array, values: Array, cost: float = 0.0, selected: Array | None = None, num: int = 400) -> Verdict:
    return referee(Images(scores, selected, 40), Prediction(values, cost), num, seed=0)


@pytest.mark.parametrize("levels", [None, 3])
def test_correlations_are_scipys(levels: int | None) -> None:
    scores, values = drawn(0, levels=levels)
    values[3] = 1.0
    scores[5] = 0.0
    varied = [row for row in range(20) if row not in (3, 5)]
    found = judge(scores, values)
    within = [stats.spearmanr(scores[row], values[row]).statistic for row in varied]
    taus = [stats.kendalltau(scores[row], values[row]).statistic for row in varied]
    np.testing.assert_allclose(row_spearman(scores, values)[varied], within, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(row_kendall(scores, values)[varied], taus, rtol=1e-12, atol=1e-15)
    assert np.isnan(row_spearman(scores, values)[[3, 5]]).all()
    assert np.isnan(row_kendall(scores, values)[[3, 5]]).all()
    assert found.num_within == 18
    assert found.within_spearman.value == pytest.approx(np.mean(within))
    assert found.within_kendall.value == pytest.approx(np.mean(taus))
    assert found.pooled_spearman.value == pytest.approx(stats.spearmanr(scores.ravel(), values.ravel()).statistic)
    assert found.pooled_pearson.value == pytest.approx(stats.pearsonr(scores.ravel(), values.ravel()).statistic)


def test_the_interval_of_a_pooled_correlation_is_that_of_scipys_on_the_same_draws() -> None:
    scores, values = drawn(1, prompts=8, levels=4)
    places = np.random.default_rng(0).integers(8, size=(300, 8))
    outside = tail(8, 0.95)
    found = judge(scores, 1e-12 * values, num=300)
    for estimate, correlation in ((found.pooled_spearman, stats.spearmanr), (found.pooled_pearson, stats.pearsonr)):
        again = [correlation(scores[rows].ravel(), values[rows].ravel()).statistic for rows in places]
        low, high = np.quantile(again, [outside, 1 - outside])
        assert estimate.low == pytest.approx(low)
        assert estimate.high == pytest.approx(high)


@pytest.mark.parametrize("levels", [None, 3])
def test_best_of_some_is_the_mean_over_all_subsets(levels: int | None) -> None:
    scores, liked = drawn(2, prompts=5, levels=levels)
    for num in range(1, 7):
        subsets = list(itertools.combinations(range(6), num))
        for row in range(5):
            best = []
            for subset in subsets:
                top = max(liked[row, place] for place in subset)
                best.append(np.mean([scores[row, place] for place in subset if liked[row, place] == top]))
            assert expected_best_of(scores, liked, num)[row] == pytest.approx(np.mean(best))
    between = expected_best_of(scores, liked, 2.25)
    np.testing.assert_allclose(
        between, 0.75 * expected_best_of(scores, liked, 2) + 0.25 * expected_best_of(scores, liked, 3)
    )


def test_a_choice_is_worth_what_it_scores_and_chance_decides_between_equals() -> None:
    scores = np.array([[1.0, 2.0, 6.0], [0.0, 4.0, 2.0]])
    values = np.array([[0.0, 5.0, 5.0], [3.0, 1.0, 1.0]])
    np.testing.assert_array_equal(chosen_score(scores, values), [4.0, 0.0])
    found = judge(scores, values, cost=10, selected=scores)
    assert (found.regret.value, found.chance_regret.value, found.gain.value) == (3.0, 2.5, -0.5)
    # Three previews of 10 and an image of 40 pay for 1.75 images; best of 1 is 3 and 2, best of 2 14/3 and 10/3.
    assert found.num_equal_cost == 1.75
    assert found.gain_at_equal_cost is not None
    assert found.gain_at_equal_cost.value == pytest.approx(2 - np.mean([0.25 * 3 + 0.75 * 14 / 3, 0.5 + 0.75 * 10 / 3]))
    assert not found.is_capped


def test_the_oracle_has_no_regret_and_one_that_is_as_dear_as_an_image_gains_nothing() -> None:
    scores, _ = drawn(3)
    found = judge(scores, scores, cost=40, selected=scores)
    assert found.regret.value == 0
    assert found.within_spearman.value == pytest.approx(1)
    assert found.gain.value == found.chance_regret.value
    assert found.is_capped
    assert found.num_equal_cost == 6
    assert found.gain_at_equal_cost is not None
    assert found.gain_at_equal_cost.value == 0


def test_a_judge_that_selects_has_no_gain_at_equal_cost() -> None:
    assert judge(*drawn(3)).gain_at_equal_cost is None


def test_knowing_which_prompt_is_hard_is_exposed() -> None:
    """Prompts differ more than noises, as in published results: pooled .9, and nothing is chosen."""
    random = np.random.default_rng(4)
    hard = random.normal(scale=2, size=(64, 1))
    scores = hard + random.normal(scale=0.8, size=(64, 8))
    difficulty = np.repeat(hard + random.normal(scale=0.3, size=(64, 1)), 8, axis=1)
    found = judge(scores, difficulty, selected=scores)
    assert found.pooled_spearman.low is not None
    assert found.pooled_pearson.low is not None
    assert min(found.pooled_spearman.low, found.pooled_pearson.low) > 0.8
    assert (found.within_spearman.value, found.within_kendall.value, found.num_within) == (None, None, 0)
    assert found.regret == found.chance_regret
    assert (found.gain.value, found.gain.low, found.gain.high) == (0, 0, 0)
    assert not found.gain.is_clear
    assert found.gain_at_equal_cost is not None
    assert found.gain_at_equal_cost.value == 0
    # One that knows a little of the noise has a lower pooled correlation than that, and selects.
    weak = judge(scores, 0.1 * hard + scores - hard + random.normal(size=scores.shape), selected=scores)
    assert weak.pooled_spearman.high is not None
    assert weak.pooled_spearman.high < found.pooled_spearman.low
    assert weak.gain.is_clear
    assert weak.within_spearman.is_clear


def test_scores_that_never_differ_say_nothing_and_fail_nothing() -> None:
    found = judge(np.ones((8, 4)), drawn(5, 8, 4)[1], selected=np.ones((8, 4)))
    assert found.pooled_pearson.value is None
    assert found.within_spearman.value is None
    assert found.regret.value == 0


def test_few_prompts_have_no_interval() -> None:
    found = judge(*drawn(6, prompts=5))
    assert found.within_spearman.value is not None
    for estimate in (found.within_spearman, found.pooled_spearman, found.regret, found.gain):
        assert (estimate.low, estimate.high, estimate.is_clear) == (None, None, False)


def test_intervals_cover_what_is_true_of_a_predictor_that_knows_nothing() -> None:
    """400 experiments of 30 prompts x 5 noises; a share of 95 % in 400 has a standard error of 1.1 points."""
    random, covered = np.random.default_rng(7), dict.fromkeys(("within", "tau", "pooled", "gain", "equal cost"), 0)
    for experiment in range(400):
        scores = random.normal(size=(30, 1)) + random.normal(size=(30, 5))
        values, selected = random.normal(size=(30, 1)) + random.normal(size=(30, 5)), random.normal(size=(30, 5))
        found = referee(Images(scores, selected, 40), Prediction(values, 10), 300, experiment)
        assert found.gain_at_equal_cost is not None
        named = (
            found.within_spearman,
            found.within_kendall,
            found.pooled_pearson,
            found.gain,
            found.gain_at_equal_cost,
        )
        for name, estimate in zip(covered, named, strict=True):
            assert estimate.low is not None
            assert estimate.high is not None
            covered[name] += estimate.low <= 0 <= estimate.high
    assert all(0.93 <= count / 400 <= 0.97 for count in covered.values()), covered


def test_a_subset_of_all_is_the_best_one_and_of_one_the_mean() -> None:
    scores, liked = drawn(8)
    np.testing.assert_allclose(expected_best_of(scores, liked, 1), scores.mean(axis=1))
    np.testing.assert_allclose(expected_best_of(scores, liked, 6), chosen_score(scores, liked))
    assert math.isclose(expected_best_of(scores, scores, 6).mean(), scores.max(axis=1).mean())
