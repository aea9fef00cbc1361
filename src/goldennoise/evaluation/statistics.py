"""Paired statistics on a (prompt, seed) grid; prompts are the clusters, since seeds of one prompt are alike."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from goldennoise.evaluation.significance import sign_flip_p_values, standard_errors

TIE_TOLERANCE = 1e-5
"""Scores that differ by less than this share of the larger one tie: float noise is no win."""

MIN_CLUSTERS = 6
"""No resample's mean lies beyond the extreme clusters, which hold the mean of n with probability 1 - 2^(1 - n) at most:
below six, no interval of 95 % can be made of resamples."""

_CHUNK = 1_000
"""Resamples drawn at once: what bounds the memory of a bootstrap over many prompts."""


@dataclass(frozen=True)
class Comparison:
    """One method against the reference by one scorer; scores in the scorer's own unit.

    difference is method minus reference, whatever the scorer's direction; wins, ties and losses are shares that
    sum to 1 and follow it. The bounds are None with fewer than `MIN_CLUSTERS` prompts.
    p_value: two-sided, of the sign-flip test, for this comparison alone. standard_error: of the difference. Both are
    None for the reference, where several runs are drawn too, and in what was written without them.
    """

    mean: float
    mean_low: float | None
    mean_high: float | None
    difference: float
    low: float | None
    high: float | None
    wins: float
    ties: float
    losses: float
    num_prompts: int
    num_samples: int
    p_value: float | None = None
    standard_error: float | None = None


def resampled_counts(num_clusters: int, num_resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each cluster is drawn in each bootstrap resample, in pieces of (at most 1000, num_clusters)."""
    generator = np.random.default_rng(seed)
    for start in range(0, num_resamples, _CHUNK):
        num = min(_CHUNK, num_resamples - start)
        drawn = generator.integers(num_clusters, size=(num, num_clusters))
        cells = drawn + np.arange(num)[:, None] * num_clusters
        counts = np.bincount(cells.ravel(), minlength=num * num_clusters).reshape(num, num_clusters)
        yield counts.astype(np.float64)


def tail(num_clusters: int, level: float) -> float:
    """Share of the bootstrap distribution outside each end of the interval.

    The expanded percentile interval (Hesterberg 2015, "What teachers should know about the bootstrap", 5.3): plain
    percentiles are too narrow with few clusters, by sqrt((n - 1) / n) and by normal in place of t quantiles.
    """
    quantile = stats.t.ppf((1 - level) / 2, num_clusters - 1)
    return float(stats.norm.cdf(math.sqrt(num_clusters / (num_clusters - 1)) * quantile))


def clustered_intervals(
    values: ArrayLike, clusters: ArrayLike, num_resamples: int, seed: int, level: float = 0.95
) -> NDArray[np.float64]:
    """Bootstrap interval of the mean of every column of `values` (n, k), whole clusters drawn with replacement: (k, 2).

    clusters: (n,), any labels. All columns share their resamples. NaN for fewer than
    `MIN_CLUSTERS` clusters.
    """
    table = np.asarray(values, dtype=np.float64)
    num_clusters = len(np.unique(np.asarray(clusters)))
    if num_clusters < MIN_CLUSTERS:
        return np.full((table.shape[1], 2), np.nan)
    outside = tail(num_clusters, level)
    return np.quantile(_resampled_means(table, clusters, num_resamples, seed), [outside, 1 - outside], axis=0).T


def _resampled_means(
    table: NDArray[np.float64], clusters: ArrayLike, num_resamples: int, seed: int
) -> NDArray[np.float64]:
    """Mean of every column of `table` (n, k) in each resample of whole clusters, (num_resamples, k)."""
    labels, codes = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.stack([np.bincount(codes, weights=column) for column in table.T], axis=1)
    sizes = np.bincount(codes)
    pieces = resampled_counts(len(labels), num_resamples, seed)
    return np.concatenate([(counts @ sums) / (counts @ sizes)[:, None] for counts in pieces])


def outcome_shares(
    scores: NDArray[np.float64], reference: NDArray[np.float64], higher_is_better: bool | None
) -> list[float]:
    """Shares of samples on which `scores` wins, ties and loses against `reference`; with None the higher one wins."""
    ties = np.isclose(scores, reference, rtol=TIE_TOLERANCE, atol=1e-12)
    ahead = (scores < reference) if higher_is_better is False else (scores > reference)
    return [float(np.mean(~ties & ahead)), float(np.mean(ties)), float(np.mean(~ties & ~ahead))]


def compare(
    scores: dict[str, NDArray[np.float64]],
    reference: str,
    clusters: ArrayLike,
    higher_is_better: bool | None,
    num_resamples: int,
    seed: int,
) -> dict[str, Comparison]:
    """Every method against `reference` by one scorer. scores: method -> (n,), row i the same (prompt, seed) in all."""
    base = np.asarray(scores[reference], dtype=np.float64)
    columns = {method: np.asarray(values, dtype=np.float64) for method, values in scores.items()}
    differences = {method: column - base for method, column in columns.items()}
    table = np.stack([*columns.values(), *differences.values()], axis=1)
    intervals = clustered_intervals(table, clusters, num_resamples, seed)
    tested = _tested({method: column for method, column in differences.items() if method != reference}, clusters, seed)
    num_prompts = len(np.unique(np.asarray(clusters)))
    compared = {}
    for i, (method, column) in enumerate(columns.items()):
        mean_low, mean_high = _bounds(intervals[i])
        low, high = _bounds(intervals[len(columns) + i])
        wins, ties, losses = outcome_shares(column, base, higher_is_better)
        compared[method] = Comparison(
            float(column.mean()), mean_low, mean_high, float(differences[method].mean()), low, high,
            wins, ties, losses, num_prompts, len(base), *tested.get(method, (None, None)),
        )  # fmt: skip
    return compared


def _tested(
    differences: Mapping[str, NDArray[np.float64]], clusters: ArrayLike, seed: int
) -> dict[str, tuple[float, float | None]]:
    """Method -> p-value and standard error of its difference, the latter None for one cluster."""
    if not differences:
        return {}
    table = np.stack([*differences.values()], axis=1)
    p_values = sign_flip_p_values(table, clusters, seed)
    errors = [None if math.isnan(error) else float(error) for error in standard_errors(table, clusters)]
    return dict(zip(differences, zip(map(float, p_values), errors, strict=True), strict=True))


def compare_runs(
    scores: Mapping[str, NDArray[np.float64]],
    reference: str,
    clusters: ArrayLike,
    higher_is_better: bool | None,
    num_resamples: int,
    seed: int,
) -> dict[str, Comparison]:
    """Every arm against `reference` by one scorer; resamples draw clusters and, where an arm has several runs, these.

    scores: arm -> (runs, n), column i the same (prompt, seed) in all. Run i of two arms with equally many runs are a
    pair and are drawn together. With one run in every arm the result is that of `compare`. Several runs of
    an arm or of the reference are not tested.
    """
    base, num_prompts = scores[reference], len(np.unique(np.asarray(clusters)))
    # Of differences, not differences of means: equal runs then differ by exactly nothing, whatever sums a column first.
    paired = {arm: runs - base for arm, runs in scores.items() if len(runs) == len(base)}
    drawn = _resampled_runs([*scores.values(), *paired.values()], clusters, num_resamples, seed)
    means = dict(zip(scores, drawn, strict=False))
    differences = {arm: each - means[reference] for arm, each in means.items()}
    differences |= dict(zip(paired, drawn[len(scores) :], strict=True))
    single = {
        arm: runs[0] - base[0] for arm, runs in scores.items() if len(runs) == len(base) == 1 and arm != reference
    }
    tested = _tested(single, clusters, seed)
    compared = {}
    for arm, runs in scores.items():
        mean_low, mean_high = _interval(means[arm], num_prompts)
        low, high = _interval(differences[arm], num_prompts)
        against = (runs, base) if arm in paired else (runs[:, None], base[None])
        wins, ties, losses = outcome_shares(*against, higher_is_better)
        compared[arm] = Comparison(
            float(runs.mean()), mean_low, mean_high, float(np.mean(against[0] - against[1])), low, high,
            wins, ties, losses, num_prompts, runs.size, *tested.get(arm, (None, None)),
        )  # fmt: skip
    return compared


def _resampled_runs(
    blocks: Sequence[NDArray[np.float64]], clusters: ArrayLike, num_resamples: int, seed: int
) -> list[NDArray[np.float64]]:
    """Mean of every block (runs, n) in each resample of its runs and of the clusters, (num_resamples,) each.

    All blocks share the clusters that are drawn, blocks with equally many runs the runs too. R runs drawn out of R vary
    less than R new ones, by sqrt((R - 1) / R), so what they deviate by is widened (Rao and Wu 1988).
    """
    means = _resampled_means(np.concatenate(blocks).T, clusters, num_resamples, seed)
    found = []
    for part in np.split(means, np.cumsum([len(block) for block in blocks])[:-1], axis=1):
        centre, num_runs = part.mean(axis=1), part.shape[1]
        if num_runs > 1:
            drawn = np.random.default_rng([seed, num_runs]).integers(num_runs, size=part.shape)
            deviation = np.take_along_axis(part, drawn, axis=1).mean(axis=1) - centre
            centre = centre + math.sqrt(num_runs / (num_runs - 1)) * deviation
        found.append(centre)
    return found


def _interval(drawn: NDArray[np.float64], num_clusters: int) -> tuple[float | None, float | None]:
    """Of 95 %, from a statistic in each resample; none for fewer than `MIN_CLUSTERS` clusters."""
    if num_clusters < MIN_CLUSTERS:
        return None, None
    outside = tail(num_clusters, 0.95)
    low, high = map(float, np.quantile(drawn, [outside, 1 - outside]))
    return low, high


def _bounds(interval: NDArray[np.float64]) -> tuple[float | None, float | None]:
    low, high = map(float, interval)
    return (None, None) if math.isnan(low) else (low, high)
