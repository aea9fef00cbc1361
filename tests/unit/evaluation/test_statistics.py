import time

import numpy as np
import pytest
from scipy import stats

from goldennoise.evaluation.statistics import clustered_intervals, compare, compare_runs, outcome_shares, tail


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


CLUSTERS = np.repeat(list("fbdace"), [2, 3, 1, 2, 2, 4])


def runs_of(num_runs: int, gain: float = 0.0, between_runs: float = 0.0) -> np.ndarray:
    """Scores (num_runs, 14) that share what is hard about a prompt."""
    random = np.random.default_rng(num_runs)
    hard = np.random.default_rng(99).normal(size=len(CLUSTERS))
    return gain + hard + between_runs * random.normal(size=(num_runs, 1)) + 0.2 * random.normal(size=(num_runs, 14))


@pytest.mark.parametrize("num_runs", [(1, 1), (3, 3), (2, 3), (1, 4)])
def test_intervals_over_runs_and_prompts_equal_a_loop_over_the_same_draws(num_runs: tuple[int, int]) -> None:
    base, other = (runs_of(number, gain) for number, gain in zip(num_runs, (0.0, 0.5), strict=True))
    labels = sorted(set(CLUSTERS))
    prompts = np.random.default_rng(7).integers(len(labels), size=(300, len(labels)))
    draws = {number: np.random.default_rng([7, number]).integers(number, size=(300, number)) for number in num_runs}

    def mean_in(scores: np.ndarray, resample: int) -> float:
        """Of whole prompts drawn with replacement, in runs drawn with replacement and set further apart."""
        cells = [cell for place in prompts[resample] for cell in np.flatnonzero(labels[place] == CLUSTERS)]
        every = [float(np.mean([run[cell] for cell in cells])) for run in scores]
        number = len(scores)
        drawn = float(np.mean([every[run] for run in draws[number][resample]]))
        centre = sum(every) / number
        return centre if number == 1 else centre + np.sqrt(number / (number - 1)) * (drawn - centre)

    found = compare_runs({"base": base, "other": other}, "base", CLUSTERS, True, 300, 7)["other"]
    means = np.array([(mean_in(other, i), mean_in(other, i) - mean_in(base, i)) for i in range(300)])
    outside = tail(len(labels), 0.95)
    expected = np.quantile(means, [outside, 1 - outside], axis=0)
    np.testing.assert_allclose((found.mean_low, found.mean_high), expected[:, 0], rtol=1e-10)
    np.testing.assert_allclose((found.low, found.high), expected[:, 1], rtol=1e-10)
    assert found.mean == pytest.approx(other.mean())
    assert found.difference == pytest.approx(other.mean() - base.mean())
    pairs = zip(other, base, strict=True) if len(base) == len(other) else ((a, b) for a in other for b in base)
    assert found.wins == pytest.approx(np.mean([a > b for a, b in pairs]))
    assert (found.num_prompts, found.num_samples) == (6, other.size)


def test_one_run_each_is_a_comparison_of_methods() -> None:
    scores = {"base": runs_of(1), "other": runs_of(1, 0.3) + 0.1 * runs_of(2)[:1]}
    found = compare_runs(scores, "base", CLUSTERS, False, 500, 3)
    expected = compare({arm: runs[0] for arm, runs in scores.items()}, "base", CLUSTERS, False, 500, 3)
    for arm in scores:
        one, same = (vars(each[arm]) for each in (found, expected))
        assert [name for name in one if one[name] is None] == [name for name in same if same[name] is None]
        numbers = {name: value for name, value in same.items() if value is not None}
        assert {name: one[name] for name in numbers} == pytest.approx(numbers, rel=1e-12)
        assert (one["p_value"] is None) == (arm == "base")


def test_several_runs_are_not_tested() -> None:
    found = compare_runs({"base": runs_of(1), "other": runs_of(3, 0.3)}, "base", CLUSTERS, True, 500, 0)
    assert (found["other"].p_value, found["other"].standard_error) == (None, None)


def test_runs_that_differ_widen_the_interval_and_equal_ones_do_not() -> None:
    def width(between_runs: float) -> float:
        scores = {"base": runs_of(1), "other": runs_of(4, 0.5, between_runs)}
        found = compare_runs(scores, "base", CLUSTERS, True, 2_000, 0)["other"]
        return found.high - found.low  # type: ignore[operator]

    assert width(1.0) > 2 * width(0.0)
    equal = np.repeat(runs_of(1, 0.5), 3, axis=0)
    three, one = (
        compare_runs({"base": runs_of(1), "other": runs}, "base", CLUSTERS, True, 2_000, 0)["other"]
        for runs in (equal, equal[:1])
    )
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


@pytest.mark.parametrize("num_runs", [1, 2, 5])
def test_equal_arms_differ_by_exactly_nothing(num_runs: int) -> None:
    scores = runs_of(num_runs, between_runs=1.0)
    found = compare_runs({"base": scores, "other": scores.copy()}, "base", CLUSTERS, True, 500, 0)["other"]
    assert (found.difference, found.low, found.high, found.ties) == (0, 0, 0, 1)


def test_intervals_over_three_runs_have_the_variance_of_new_runs() -> None:
    """Where runs alone differ, their mean's interval has the width of its standard error, which plain resampling of
    three runs misses by a factor of 0.82."""
    random = np.random.default_rng(0)
    widths, errors = [], []
    for _ in range(300):
        runs = np.repeat(random.normal(size=(3, 1)), 40, axis=1)
        scores = {"base": np.zeros((3, 40)), "other": runs}
        found = compare_runs(scores, "base", np.arange(40), True, 400, 0)["other"]
        widths.append(np.square(found.high - found.low))  # type: ignore[operator]
        errors.append(runs.mean() ** 2)
    assert np.mean(widths) / np.mean(errors) == pytest.approx((2 * 1.96) ** 2, rel=0.25)


def test_fewer_than_six_prompts_have_no_interval_over_runs_either() -> None:
    scores = {"base": runs_of(2), "other": runs_of(2, 0.5)}
    found = compare_runs(scores, "base", np.repeat(list("abcde"), [3, 3, 3, 3, 2]), True, 100, 0)["other"]
    assert found.low is found.high is found.mean_low is found.mean_high is None


def test_ten_thousand_resamples_of_a_thousand_prompts_are_fast() -> None:
    scores = {str(number): np.random.default_rng(number).normal(size=2_000) for number in range(4)}
    start = time.process_time()
    compare(scores, "0", np.repeat(np.arange(1_000), 2), True, 10_000, 0)
    assert time.process_time() - start < 2
