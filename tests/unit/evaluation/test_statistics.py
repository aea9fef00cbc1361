import time

import numpy as np
import pytest
from scipy import stats

from goldennoise.evaluation.statistics import clustered_intervals, compare, outcome_shares, tail


def test_intervals_equal_a_double_loop_over_the_same_draws() -> None:
    random = np.random.default_rng(1)
    clusters = np.array(["d", "a", "a", "c", "f", "b", "c", "c", "e", "a"])
    values = random.normal(size=(len(clusters), 2))
    labels = sorted(set(clusters))
    drawn = np.random.default_rng(7).integers(len(labels), size=(300, len(labels)))
    means = []
    for resample in drawn:
        rows = [row for place in resample for row in np.flatnonzero(clusters == labels[place])]
        means.append([sum(values[row, column] for row in rows) / len(rows) for column in range(2)])
    outside = tail(len(labels), 0.95)
    low, high = np.quantile(np.array(means), [outside, 1 - outside], axis=0)
    found = clustered_intervals(values, clusters, num_resamples=300, seed=7)
    np.testing.assert_allclose(found, np.stack([low, high], axis=1), rtol=1e-12)


def test_many_resamples_do_not_depend_on_how_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    values, clusters = np.random.default_rng(0).normal(size=(30, 1)), np.arange(30)
    at_once = clustered_intervals(values, clusters, 5_000, seed=3)
    monkeypatch.setattr("goldennoise.evaluation.statistics._CHUNK", 700)
    np.testing.assert_array_equal(clustered_intervals(values, clusters, 5_000, seed=3), at_once)


def test_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(2).normal(10, 3, size=(400, 1))
    (found,) = clustered_intervals(values, np.arange(400), 20_000, seed=0)
    expected = stats.t.interval(0.95, 399, values.mean(), values.std(ddof=1) / 20)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_repeating_a_prompt_adds_no_evidence() -> None:
    values = np.random.default_rng(3).normal(size=(25, 1))
    once = clustered_intervals(values, np.arange(25), 2_000, seed=0)
    ten_times = clustered_intervals(np.repeat(values, 10, axis=0), np.repeat(np.arange(25), 10), 2_000, seed=0)
    np.testing.assert_allclose(ten_times, once, rtol=1e-12)


def test_tails_widen_the_interval_of_few_prompts() -> None:
    assert tail(100_000, 0.95) == pytest.approx(0.025, abs=1e-5)
    assert tail(5, 0.95) == pytest.approx(stats.norm.cdf(-2.776445 * np.sqrt(5 / 4)), rel=1e-5)
    assert tail(2, 0.95) < tail(5, 0.95) < 0.025


def test_coverage_is_about_95_per_cent_and_needs_the_clusters() -> None:
    """400 experiments of 12 prompts x 4 seeds; a share of 95 % in 400 has a standard error of 1.1 points."""
    random = np.random.default_rng(4)
    clusters = np.repeat(np.arange(12), 4)
    covered, covered_without_clusters = 0, 0
    for experiment in range(400):
        values = (np.repeat(random.normal(size=12), 4) + random.normal(scale=0.5, size=48))[:, None]
        (low, high), (naive_low, naive_high) = (
            clustered_intervals(values, groups, 400, seed=experiment)[0] for groups in (clusters, np.arange(48))
        )
        covered += low <= 0 <= high
        covered_without_clusters += naive_low <= 0 <= naive_high
    assert 0.92 <= covered / 400 <= 0.98
    assert covered_without_clusters / 400 < 0.85


def test_a_comparison_has_the_numbers_of_the_paired_samples() -> None:
    scores = {"standard": np.array([1.0, 2.0, 3.0, 4.0]), "other": np.array([2.0, 2.0, 2.5, 7.0])}
    found = compare(scores, "standard", ["a", "a", "b", "b"], True, num_resamples=200, seed=0)
    other, reference = found["other"], found["standard"]
    assert (other.mean, other.difference) == (3.375, 0.875)
    assert (other.wins, other.ties, other.losses) == (0.5, 0.25, 0.25)
    assert (other.num_prompts, other.num_samples) == (2, 4)
    assert (reference.difference, reference.ties) == (0, 1)


def test_direction_decides_what_a_win_is_and_float_noise_ties() -> None:
    scores, reference = np.array([1.0, 2.0, 5.0 + 1e-6, -1.0]), np.array([2.0, 1.0, 5.0, -2.0])
    assert outcome_shares(scores, reference, higher_is_better=True) == [0.5, 0.25, 0.25]
    assert outcome_shares(scores, reference, higher_is_better=False) == [0.25, 0.25, 0.5]


@pytest.mark.parametrize("num_prompts", [1, 2, 5, 6])
def test_fewer_than_six_prompts_have_no_interval(num_prompts: int) -> None:
    prompts = np.repeat(np.arange(num_prompts), 3)
    found = compare({"standard": np.zeros(len(prompts)), "other": 1.0 + prompts}, "standard", prompts, True, 100, 0)
    other, reference = found["other"], found["standard"]
    if num_prompts < 6:
        assert other.low is other.high is other.mean_low is other.mean_high is reference.low is None
    else:
        assert 1 <= other.low < other.difference < other.high <= 6  # type: ignore[operator]
        assert (reference.low, reference.high) == (0, 0)


def test_an_interval_of_six_prompts_misses_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    samples = random.normal(size=(6, 2_000))
    intervals = clustered_intervals(samples, np.arange(6), 1_000, seed=0)
    missed = np.mean((intervals[:, 0] > 0) | (intervals[:, 1] < 0))
    assert 0.02 < missed < 0.08


def test_ten_thousand_resamples_of_a_thousand_prompts_are_fast() -> None:
    scores = {str(number): np.random.default_rng(number).normal(size=2_000) for number in range(4)}
    start = time.process_time()
    compare(scores, "0", np.repeat(np.arange(1_000), 2), True, 10_000, 0)
    assert time.process_time() - start < 2
