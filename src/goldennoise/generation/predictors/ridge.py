"""Ridge regression in closed form, its penalty chosen by leaving out one prompt at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldennoise.generation.predictors.base import JUDGED, LEARNT, ROLE, SELECTED, Array, vectors

if TYPE_CHECKING:
    import pandas as pd

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""Times the mean of the kernel's eigenvalues."""


def kernels(table: "pd.DataFrame", column: str) -> tuple[Array, Array]:
    """Inner products of a column of vectors: of learnt with learnt samples, (n, n), of judged with learnt, (m, n).

    Each of d numbers is standardised by the learnt samples and divided by sqrt(d), so that columns of any width count
    alike.
    """
    learnt, judged = vectors(table, column, LEARNT), vectors(table, column, JUDGED)
    spread = learnt.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0) * learnt.shape[1] ** 0.5
    learnt, judged = ((each - learnt.mean(axis=0)) / scale for each in (learnt, judged))
    return learnt @ learnt.T, judged @ learnt.T


def predicted_scores(table: "pd.DataFrame", learnt: Array, judged: Array) -> Array:
    """Scores by the scorer that selects, as a ridge regression on the learnt samples predicts them for the judged.

    learnt, judged: inner products as of `kernels`.
    """
    rows = table[table[ROLE] == LEARNT]
    scores, prompts = rows[SELECTED].to_numpy(dtype=np.float64), rows["prompt_id"].tolist()
    # Of inputs whose mean over the learnt samples is zero.
    mean = learnt.mean(axis=0)
    kernel = learnt - mean - mean[:, None] + mean.mean()
    across = judged - mean - judged.mean(axis=1, keepdims=True) + mean.mean()
    penalty = chosen_penalty(kernel, scores, prompts)
    found: Array = scores.mean() + across @ np.linalg.solve(
        kernel + penalty * np.eye(len(kernel)), scores - scores.mean()
    )
    return found


def chosen_penalty(kernel: Array, scores: Array, prompts: Sequence[str]) -> float:
    """Of `PENALTIES` times the mean eigenvalue the one with the smallest `left_out_error`."""
    scale = max(float(np.trace(kernel)) / len(kernel), 1e-12)
    return min((scale * one for one in PENALTIES), key=lambda one: left_out_error(kernel, scores, prompts, one))


def left_out_error(kernel: Array, scores: Array, prompts: Sequence[str], penalty: float) -> float:
    """Mean squared error on each prompt of the regression on all others. kernel: (n, n), of centred inputs.

    The regression is linear in the scores, so what it says without a prompt follows from what it says with it.
    """
    num = len(kernel)
    smoother = 1 / num + np.linalg.solve(kernel + penalty * np.eye(num), kernel)
    residuals, labels = scores - smoother @ scores, np.asarray(prompts)
    errors: list[float] = []
    for prompt in dict.fromkeys(prompts):
        rows = np.flatnonzero(labels == prompt)
        left_out = np.eye(len(rows)) - smoother[np.ix_(rows, rows)]
        errors.extend(np.linalg.solve(left_out, residuals[rows]) ** 2)
    return float(np.mean(errors))
