"""Whether a difference is more than chance, and which difference a run could show; prompts are the clusters."""

import bisect
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

NUM_FLIPS = 10_000
"""Random sign flips where all of them would be more."""
LEVEL = 0.05
"""Below it an adjusted p-value shows a difference: the share of tables without a true difference that show one."""
POWER = 0.8

_CHUNK = 1_000
"""Flips drawn at once, which bounds the memory."""
_EQUAL = 1e-9
"""Statistics that differ by less than this share of the observed one are equal: sums round."""


def sign_flip_p_values(differences: ArrayLike, clusters: ArrayLike, seed: int) -> NDArray[np.float64]:
    """Two-sided p-value of every column of `differences` (n, k) by the sign-flip permutation test: (k,).

    Without an effect, method and reference of a prompt can change places. So the signs of whole clusters are flipped,
    and p is the share of flips whose sum is at least as far from zero. With 2^clusters <= `NUM_FLIPS` these are all
    flips, and p is exact. Else they are random ones, and the data themselves count as one more (Phipson and Smyth
    2010). clusters: (n,), any labels. All columns share their flips.
    """
    sums = _cluster_sums(differences, clusters)
    observed = np.abs(sums.sum(axis=0))
    reached, num_flips = np.zeros(sums.shape[1]), 0
    for signs in _signs(len(sums), seed):
        reached += (np.abs(signs @ sums) >= observed * (1 - _EQUAL)).sum(axis=0)
        num_flips += len(signs)
    return reached / num_flips if 2 ** len(sums) <= NUM_FLIPS else (reached + 1) / (num_flips + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for how many they are, in their order (Holm 1979).

    Whichever differences are none, the probability that any of these is below `LEVEL` is at most `LEVEL`.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def standard_errors(values: ArrayLike, clusters: ArrayLike) -> NDArray[np.float64]:
    """Of the mean of every column of `values` (n, k), from the spread between clusters: (k,); NaN for one cluster."""
    table = np.asarray(values, dtype=np.float64)
    sums = _cluster_sums(table - table.mean(axis=0), clusters)
    num = len(sums)
    if num < 2:
        return np.full(table.shape[1], np.nan)
    return np.asarray(np.sqrt(num / (num - 1) * (sums**2).sum(axis=0)) / len(table))


def detectable_difference(standard_error: float, num_clusters: int) -> float:
    """The true difference that a test of level 5 % shows with a probability of 80 %, for at least two clusters."""
    return _quantiles(num_clusters) * standard_error


def clusters_needed(difference: float, standard_error: float, num_clusters: int) -> int:
    """Clusters with which `difference`, not zero, is detectable, where they spread as these `num_clusters` do."""
    deviation = standard_error * math.sqrt(num_clusters)

    def shows(num: int) -> bool:
        return detectable_difference(deviation / math.sqrt(num), num) <= abs(difference)

    # The detectable difference falls with the number: double it until it is enough, then halve the gap.
    most = 2
    while not shows(most):
        most *= 2
    return bisect.bisect_left(range(most), True, lo=2, key=shows)


def _quantiles(num_clusters: int) -> float:
    of_t = stats.t(num_clusters - 1)
    return float(of_t.ppf(1 - LEVEL / 2) + of_t.ppf(POWER))


def _cluster_sums(values: ArrayLike, clusters: ArrayLike) -> NDArray[np.float64]:
    labels, codes = np.unique(np.asarray(clusters), return_inverse=True)
    columns = np.asarray(values, dtype=np.float64).T
    return np.stack([np.bincount(codes, weights=column, minlength=len(labels)) for column in columns], axis=1)


def _signs(num_clusters: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Rows of +1 and -1, one sign a cluster, in pieces of (at most 1000, num_clusters): all rows, or random ones."""
    if 2**num_clusters <= NUM_FLIPS:
        rows = np.arange(2**num_clusters)[:, None] >> np.arange(num_clusters) & 1
        yield (2 * rows - 1).astype(np.float64)
        return
    generator = np.random.default_rng(seed)
    for _ in range(NUM_FLIPS // _CHUNK):
        yield (2 * generator.integers(2, size=(_CHUNK, num_clusters)) - 1).astype(np.float64)
