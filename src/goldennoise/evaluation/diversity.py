"""How different the images of one prompt are from seed to seed: a method that collapses them gains nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from goldennoise.evaluation.statistics import Comparison, compare


@dataclass(frozen=True)
class Diversity:
    """Means over prompts, paired with the reference's. distance: mean of 1 - cosine over pairs of seeds, in [0, 2].

    vendi: effective number of different images per prompt, from 1 to the number of seeds (arXiv 2210.02410).
    """

    distance: Comparison
    vendi: Comparison


def distance(features: NDArray[np.float64]) -> float:
    """Mean of 1 - cosine over all pairs of rows of `features` (seeds, dim), seeds >= 2."""
    similarity = _similarity(features)
    pairs = np.triu_indices(len(features), k=1)
    return float(np.mean(1 - similarity[pairs]))


def vendi(features: NDArray[np.float64]) -> float:
    """Vendi score of the rows of `features` (seeds, dim) with the cosine kernel: exp of the spectrum's entropy."""
    spectrum = np.linalg.eigvalsh(_similarity(features) / len(features)).clip(min=0)
    spectrum = spectrum[spectrum > 1e-12]
    return float(np.exp(-(spectrum * np.log(spectrum)).sum()))


def compare_diversity(
    features: Mapping[str, NDArray[np.float64]], prompts: ArrayLike, reference: str, num_resamples: int, seed: int
) -> dict[str, Diversity] | None:
    """Diversity of every method; None where no prompt has two seeds.

    features: method -> (n, dim), row i of the same (prompt, seed) in all; prompts: (n,) labels.
    """
    labels = np.asarray(prompts)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if min(map(len, groups)) < 2:
        return None
    found = {}
    for measure in (distance, vendi):
        values = {method: np.array([measure(rows[group]) for group in groups]) for method, rows in features.items()}
        found[measure] = compare(values, reference, np.arange(len(groups)), True, num_resamples, seed)
    return {method: Diversity(found[distance][method], found[vendi][method]) for method in features}


def _similarity(features: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit @ unit.T
