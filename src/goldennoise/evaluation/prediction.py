"""Whether a predictor of scores can choose: within a prompt, and not only between prompts.

A pooled correlation is high where a predictor knows which prompts are hard, and that selects nothing: of the noises of
one prompt it prefers none.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from goldennoise.evaluation.statistics import MIN_CLUSTERS, clustered_intervals, resampled_counts, tail

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Images:
    """Scores (prompts, n) of images from n noises of each prompt, of which higher is better.

    judged: by the scorer that judges. selected: by the one that selects, which says what best of m is worth; None where
    it is the judge itself. num_evaluations: of the model for one image.
    """

    judged: Array
    selected: Array | None
    num_evaluations: float


@dataclass(frozen=True)
class Prediction:
    """Values (prompts, n) of a predictor, higher where it expects a better image; equal values are equal to the bit.

    num_evaluations: of the model for one value.
    """

    values: Array
    num_evaluations: float


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over prompts. The bounds are None with fewer than `MIN_CLUSTERS` prompts, the
    value too where no prompt has one."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Verdict:
    """What a predictor is worth; regrets and gains in the judge's unit.

    pooled_*: correlations over all images. within_*: mean over the `num_within` prompts where score and prediction both
    differ between noises, Spearman's and Kendall's tau-b. regret: of the noise it chooses against the prompt's best.
    chance_regret: of a noise chosen at random. gain: of its choice over the prompt's mean. gain_at_equal_cost: of its
    choice over that of best of `num_equal_cost` by the selecting scorer; None where that is the judge.
    is_capped: the grid has fewer noises than the same evaluations pay for, so best of all of them stands there.
    """

    pooled_spearman: Estimate
    pooled_pearson: Estimate
    within_spearman: Estimate
    within_kendall: Estimate
    num_within: int
    regret: Estimate
    chance_regret: Estimate
    gain: Estimate
    gain_at_equal_cost: Estimate | None
    num_equal_cost: float
    is_capped: bool


def referee(images: Images, prediction: Prediction, num_resamples: int, seed: int) -> Verdict:
    """The verdict on a predictor; all intervals are of the bootstrap over prompts."""
    judged, values = images.judged, prediction.values
    chosen, at_random = chosen_score(judged, values), chosen_score(judged, np.zeros_like(values))
    best = judged.max(axis=1)
    num, affordable = judged.shape[1], 1 + judged.shape[1] * prediction.num_evaluations / images.num_evaluations
    columns = [best - chosen, best - at_random, chosen - at_random]
    if images.selected is not None:
        columns.append(chosen - expected_best_of(judged, images.selected, min(affordable, num)))
    regret, chance_regret, gain, *at_equal_cost = _means(np.stack(columns, axis=1), num_resamples, seed)
    within = np.stack([row_spearman(judged, values), row_kendall(judged, values)], axis=1)
    within = within[~np.isnan(within[:, 0])]
    within_spearman, within_kendall = _means(within, num_resamples, seed)
    pooled_spearman, pooled_pearson = _pooled(judged, values, num_resamples, seed)
    return Verdict(
        pooled_spearman, pooled_pearson, within_spearman, within_kendall, len(within), regret, chance_regret, gain,
        at_equal_cost[0] if at_equal_cost else None, min(affordable, num), affordable > num,
    )  # fmt: skip


def chosen_score(scores: Array, values: Array) -> Array:
    """Expected score (prompts,) of the noise of the largest value; between equal values chance decides."""
    tied = values == values.max(axis=1, keepdims=True)
    return np.where(tied, scores, 0.0).sum(axis=1) / tied.sum(axis=1)


def expected_best_of(judged: Array, selected: Array, num: float) -> Array:
    """Expected judged score (prompts,) of the one that `selected` likes best in a random subset of `num` noises.

    Exact over all subsets, without replacement. Between whole numbers it is the mixture of the two that costs as much.
    """
    below = math.floor(num)
    found = _best_of(judged, selected, below)
    share = num - below
    return found if share == 0 else (1 - share) * found + share * _best_of(judged, selected, below + 1)


def _best_of(judged: Array, selected: Array, num: int) -> Array:
    total = judged.shape[1]
    if num in (1, total):
        # Computed as a predictor's choice is, so that two equal choices differ by exactly zero.
        return chosen_score(judged, selected if num == total else np.zeros_like(selected))
    order = np.argsort(-selected, axis=1, kind="stable")
    ranked, liked = np.take_along_axis(judged, order, axis=1), np.take_along_axis(selected, order, axis=1)
    # Each of several equals counts with their mean.
    same = liked[:, :, None] == liked[:, None, :]
    ranked = (same @ ranked[:, :, None])[:, :, 0] / same.sum(axis=2)
    # The subset's best has rank r if the other num - 1 all lie behind it.
    chances = np.array([math.comb(total - 1 - rank, num - 1) for rank in range(total)]) / math.comb(total, num)
    return ranked @ chances


def row_spearman(scores: Array, values: Array) -> Array:
    """Spearman's rank correlation in each row, (prompts,); nan where a row of either is constant."""
    return _row_cosines(*(rankdata(each, axis=1) - (each.shape[1] + 1) / 2 for each in (scores, values)))


def row_kendall(scores: Array, values: Array) -> Array:
    """Kendall's tau-b in each row, (prompts,); nan where a row of either is constant."""
    signs = (np.sign(each[:, :, None] - each[:, None, :]).reshape(len(each), -1) for each in (scores, values))
    return _row_cosines(*signs)


def _row_cosines(left: Array, right: Array) -> Array:
    lengths = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    return np.divide((left * right).sum(axis=1), lengths, out=np.full(len(left), np.nan), where=lengths > 0)


def _means(columns: Array, num_resamples: int, seed: int) -> list[Estimate]:
    """The mean of every column of (prompts, k) with its interval."""
    if not len(columns):
        return [Estimate(None)] * columns.shape[1]
    intervals = clustered_intervals(columns, np.arange(len(columns)), num_resamples, seed)
    return [_estimate(float(mean), *interval) for mean, interval in zip(columns.mean(axis=0), intervals, strict=True)]


def _estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value) if math.isnan(low) else Estimate(value, float(low), float(high))


def _pooled(judged: Array, values: Array, num_resamples: int, seed: int) -> list[Estimate]:
    """Spearman's and Pearson's correlation of all images; none where either is constant."""
    if np.ptp(judged) == 0 or np.ptp(values) == 0:
        return [Estimate(None)] * 2
    found = next(_pooled_correlations(judged, values, [np.ones((1, len(judged)))]))[0]
    if len(judged) < MIN_CLUSTERS:
        return [Estimate(float(each)) for each in found]
    counts = resampled_counts(len(judged), num_resamples, seed)
    drawn = np.concatenate(list(_pooled_correlations(judged, values, counts)))
    outside = tail(len(judged), 0.95)
    bounds = np.nanquantile(drawn, [outside, 1 - outside], axis=0)
    return [_estimate(float(each), *interval) for each, interval in zip(found, bounds.T, strict=True)]


def _pooled_correlations(judged: Array, values: Array, counts: Iterable[Array]) -> Iterator[Array]:
    """Spearman's and Pearson's (resamples, 2) for pieces of `counts` (resamples, prompts), ranked in each resample."""
    ranking, other = _Ranking(judged), _Ranking(values)
    scores, predicted = (((each - each.mean()) / each.std()).ravel() for each in (judged, values))
    for piece in counts:
        weights = np.repeat(piece, judged.shape[1], axis=1)
        ranks = _weighted_correlation(ranking.of(piece), other.of(piece), weights)
        yield np.stack([ranks, _weighted_correlation(scores, predicted, weights)], axis=1)


class _Ranking:
    """Mid-ranks of all values of a grid when each of its rows counts several times."""

    def __init__(self, grid: Array) -> None:
        unique, self.places = np.unique(grid.ravel(), return_inverse=True)
        rows = np.repeat(np.arange(len(grid)), grid.shape[1])
        self.held = np.zeros((len(grid), len(unique)))
        np.add.at(self.held, (rows, self.places), 1)

    def of(self, counts: Array) -> Array:
        """(resamples, values) for counts (resamples, rows)."""
        equal = counts @ self.held
        return (equal.cumsum(axis=1) - (equal - 1) / 2)[:, self.places]


def _weighted_correlation(left: Array, right: Array, weights: Array) -> Array:
    """Pearson's correlation for each row of weights, nan where a side is constant."""
    total = weights.sum(axis=1)

    def mean(each: Array) -> Array:
        return (weights * each).sum(axis=1) / total

    left_mean, right_mean = mean(left), mean(right)
    spreads = (mean(left**2) - left_mean**2) * (mean(right**2) - right_mean**2)
    covariance = mean(left * right) - left_mean * right_mean
    return np.divide(covariance, np.sqrt(spreads.clip(0)), out=np.full(len(total), np.nan), where=spreads > 1e-20)
