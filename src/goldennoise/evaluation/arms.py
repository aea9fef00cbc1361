"""Arms: methods of several evaluations on the same prompts, seeds and scorers, compared as the methods of one are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goldennoise.evaluation.scores import CELL, scores_table
from goldennoise.evaluation.statistics import Comparison, compare_runs
from goldennoise.evaluation.summary import MethodResult, Result, Role, ScorerInfo, Summary, read_summary
from goldennoise.methods import control_of
from goldennoise.runtime.seeding import derive_seed
from goldennoise.store.artifacts import Artifact
from goldennoise.store.files import write_json


@dataclass(frozen=True)
class Run:
    """One evaluation of an arm. method: which of its methods is compared."""

    scores: Artifact
    method: str


@dataclass(frozen=True)
class Measured:
    """A run, what its evaluation found, and the rows of its method in `scores.parquet`."""

    run: Run
    summary: Summary
    rows: pd.DataFrame

    @property
    def result(self) -> MethodResult:
        return self.summary.methods[self.run.method]


Arms = Mapping[str, Sequence[Measured]]
"""Arm -> its runs, with which it trained several times."""


def measured(run: Run) -> Measured:
    """Raises `ArtifactError` for scores that cannot be used, or that are not there for every prompt and seed."""
    summary = read_summary(run.scores.path / "summary.json")
    table = scores_table(run.scores, summary)
    return Measured(run, summary, table[table["method"] == run.method])


def arms_summary(arms: Arms, reference: str, num_resamples: int) -> Summary:
    """The comparison of all arms, which stand in it where the methods of one evaluation stand."""
    first = arms[reference][0]
    compared = {scorer: _by_category(arms, reference, scorer, num_resamples) for scorer in first.summary.scorers}
    memory = {each.summary.memory for runs in arms.values() for each in runs}
    return Summary(
        reference=reference,
        model={},
        num_prompts=first.summary.num_prompts,
        num_seeds=first.summary.num_seeds,
        num_resamples=num_resamples,
        memory=", ".join(sorted(memory)),
        scorers={scorer: _scorer_info(arms, reference, scorer) for scorer in first.summary.scorers},
        methods={arm: _result(arm, runs, compared) for arm, runs in arms.items()},
        protocol=_protocol(arms, first.summary),
    )


def _protocol(arms: Arms, first: Summary) -> dict[str, str]:
    """Prompts and seeds are the same for all runs, samplers are listed."""
    samplers = [each.summary.protocol.get("sampler") for runs in arms.values() for each in runs]
    told = {"sampler": ", or ".join(dict.fromkeys(sampler for sampler in samplers if sampler))}
    return first.protocol | told if first.protocol else {}


def write_summary(summary: Summary, arms: Arms, file: Path) -> None:
    """`summary.json` of a comparison: that of an evaluation with arms for methods, and what each was made with."""
    content = summary.as_json()
    del content["model"]
    results, content["arms"] = content.pop("methods"), {}
    for arm, runs in arms.items():
        told = [
            {"scores": each.run.scores.reference, "method": each.run.method, "model": each.summary.model}
            for each in runs
        ]
        content["arms"][arm] = {"runs": told} | {name: part for name, part in results[arm].items() if part != {}}
    write_json(file, content)


def _result(
    arm: str, runs: Sequence[Measured], compared: Mapping[str, Mapping[str, Mapping[str, Comparison]]]
) -> MethodResult:
    """Costs are means over runs, memory the most of any."""
    results = [each.result for each in runs]
    peaks = [result.peak_memory_bytes for result in results if result.peak_memory_bytes is not None]
    of_arm = {scorer: {kind: found[arm] for kind, found in kinds.items()} for scorer, kinds in compared.items()}
    return replace(
        results[0],
        evaluations_per_image=float(np.mean([result.evaluations_per_image for result in results])),
        seconds_per_image=float(np.mean([result.seconds_per_image for result in results])),
        peak_memory_bytes=max(peaks, default=None),
        scorers={scorer: Result(kinds.pop(""), kinds) for scorer, kinds in of_arm.items()},
        noise={},
        diversity={},
        matched={},
    )


def _by_category(arms: Arms, reference: str, scorer: str, num_resamples: int) -> dict[str, dict[str, Comparison]]:
    """Kind of prompt ("" = all) -> arm -> comparison."""
    first = arms[reference][0]
    cells = {arm: [_cells(each, scorer) for each in runs] for arm, runs in arms.items()}
    index = cells[reference][0].index
    assert all(each.index.equals(index) for runs in cells.values() for each in runs), "the same prompts and seeds"
    values: dict[str, NDArray[np.float64]] = {arm: np.stack(runs).astype(np.float64) for arm, runs in cells.items()}
    prompts = index.get_level_values("prompt_id")
    category_of = first.rows.drop_duplicates("prompt_id").set_index("prompt_id")["category"].sort_index()
    kinds = prompts.map(category_of.to_dict())
    higher, root_seed = first.summary.scorers[scorer].higher_is_better, first.run.scores.recorded("config", "seed")
    found = {}
    for kind in ["", *category_of.unique()]:
        chosen = np.flatnonzero((kinds == kind) | (kind == ""))
        seed = derive_seed(root_seed, f"bootstrap/{scorer}", kind)
        of_kind = {arm: each[:, chosen] for arm, each in values.items()}
        found[kind] = compare_runs(of_kind, reference, prompts[chosen], higher, num_resamples, seed)
    return found


def _cells(each: Measured, scorer: str) -> "pd.Series[float]":
    """A score for each prompt and seed, in their order."""
    return each.rows[each.rows["scorer"] == scorer].set_index(CELL)["score"].sort_index()


def _scorer_info(arms: Arms, reference: str, scorer: str) -> ScorerInfo:
    """That of the reference, with the role that is least evidence over all runs."""
    info = arms[reference][0].summary.scorers[scorer]
    found = {_role(each, scorer) for runs in arms.values() for each in runs}
    role = next(role for role in ("selecting", "unknown", "reporting") if role in found)
    scores = np.concatenate([_cells(each, scorer).to_numpy() for each in arms[reference]])
    return replace(info, role=role, deviation=float(scores.std()))


def _role(each: Measured, scorer: str) -> Role:
    """A scorer that chose for other methods of an evaluation chose nothing for the source noise as it is."""
    as_it_is = control_of(each.result.kind) in ("guidance", "schedule")
    return "reporting" if as_it_is else each.summary.scorers[scorer].role
