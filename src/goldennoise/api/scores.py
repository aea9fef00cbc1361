"""Scores of many evaluations as one table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from goldennoise.errors import require
from goldennoise.evaluation.scores import labelled_scores
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.paths import expanded


def load_scores(scores: str | Path | Iterable[str | Path], outputs: str | Path = "outputs") -> pd.DataFrame:
    """The scores of evaluations, a row per prompt, seed, method and scorer of each.

    >>> table = goldennoise.load_scores("scores/*")
    >>> table.groupby(["artifact", "method", "scorer"])["score"].mean()

    scores: a reference, whose name and version may have the wildcards of a shell, a folder, or a list of these.
    "scores/demo" is the latest version, "scores/demo@v*" every version, "scores/*" every version of every name.
    outputs: the folder of all artifacts.
    Columns: artifact, model, num_steps, guidance, root_seed, prompt_set, prompt_id, prompt, category, seed, method,
    method_kind, scorer, score. artifact is the reference, or the folder of an artifact outside of `outputs`.
    Evaluations may have different prompts, seeds, methods and scorers.
    Raises `ArtifactError` for an artifact that is not there or is damaged, or in which a score is missing.
    """
    store = ArtifactStore(expanded(str(outputs)))
    found = [one for given in _listed(scores) for one in store.matching(given, "scores")]
    different = {artifact.path.resolve(): artifact for artifact in found}.values()
    return pd.concat([labelled_scores(artifact, _label(artifact, store)) for artifact in different], ignore_index=True)


def _listed(scores: Any) -> list[str]:
    allowed = 'a reference such as "scores/demo@v1" or "scores/*", a folder, or a list of at least one'
    is_one = isinstance(scores, str | Path)
    require(is_one or isinstance(scores, Iterable), "scores", repr(scores), allowed)
    listed = [scores] if is_one else list(scores)
    require(bool(listed) and all(isinstance(one, str | Path) and str(one) for one in listed), "scores", scores, allowed)
    return [str(one) for one in listed]


def _label(artifact: Artifact, store: ArtifactStore) -> str:
    place = store.root / artifact.kind / artifact.name / artifact.version
    return artifact.reference if place.resolve() == artifact.path.resolve() else str(artifact.path)
