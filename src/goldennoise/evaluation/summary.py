"""`summary.json`: what an evaluation found, per method, scorer and kind of prompt, with cost, noise and diversity."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from goldennoise.data.prompts import Prompt
from goldennoise.errors import ArtifactError
from goldennoise.evaluation.diversity import Diversity, compare_diversity
from goldennoise.evaluation.statistics import Comparison, compare
from goldennoise.generation.noise import STATISTICS
from goldennoise.generation.thumbnails import THUMBNAILS
from goldennoise.generation.units import EMBEDDING, NOISE_PREFIX, PREFIX, THUMBNAIL
from goldennoise.methods import control_of
from goldennoise.runtime.seeding import derive_seed
from goldennoise.scorers.protocol import Scorer, TextReader, usual_range
from goldennoise.store.files import write_json
from goldennoise.store.record import read_json

Role = Literal["reporting", "selecting", "unknown"]
ROLES: tuple[Role, ...] = ("reporting", "selecting", "unknown")


@dataclass(frozen=True)
class ScorerInfo:
    """What a number of this scorer means.

    higher_is_better: None for a description, of which neither end is better.
    deviation: standard deviation of the reference's scores, by which gains of two scorers are set side by side.
    role: a selecting scorer chose noises or training pairs, so its numbers are no evidence; a reporting one did not;
    unknown: the pairs of an evaluated network are gone, so nobody can tell of one that may select.
    usual: between which scores of today's models usually lie; None where nobody says so.
    num_tokens, prompts_cut: how much of a prompt its text encoder reads, and how many of the prompts are longer; None
    for a scorer that does not say so.
    """

    higher_is_better: bool | None
    unit: str
    version: str
    role: Role
    deviation: float
    usual: tuple[float, float] | None = None
    num_tokens: int | None = None
    prompts_cut: int | None = None


@dataclass(frozen=True)
class Result:
    """One method by one scorer, over all prompts and per kind of prompt."""

    overall: Comparison
    categories: dict[str, Comparison]


@dataclass(frozen=True)
class Against:
    """The comparison with another method than the reference, `method`."""

    method: str
    comparison: Comparison


@dataclass(frozen=True)
class Spread:
    """Of one statistic over all samples: its mean, and the 2.5 % and 97.5 % quantiles."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodResult:
    """One method; costs per image as `evaluation.cost` defines them.

    noise: spread of each of `evaluation.noise.STATISTICS`. diversity: by thumbnails, and by the image embedding of a
    scorer that has one, under its name; empty where no prompt has two seeds. matched: by scorer, against that
    control of guidance or noise which the scorer likes best; empty for controls, and where the run has none.
    """

    kind: str
    evaluations_per_image: float
    seconds_per_image: float
    peak_memory_bytes: int | None
    scorers: dict[str, Result]
    noise: dict[str, Spread]
    diversity: dict[str, Diversity]
    matched: dict[str, Against]


@dataclass(frozen=True)
class Summary:
    """The whole of `summary.json`. reference: the method every other one is compared with.

    protocol: the prompts, the seeds and the sampler in words, under these names; empty where nobody wrote it down.
    """

    reference: str
    model: dict[str, Any]
    num_prompts: int
    num_seeds: int
    num_resamples: int
    memory: str
    scorers: dict[str, ScorerInfo]
    methods: dict[str, MethodResult]
    protocol: dict[str, str] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        write_json(file, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """What `summary.json` holds."""
        content = asdict(self)
        for method in content["methods"].values():
            for name, result in method["scorers"].items():
                method["scorers"][name] = result["overall"] | {"categories": result["categories"]}
        return content


def read_summary(file: Path) -> Summary:
    """The summary a file holds; the inverse of `Summary.write`. Raises `ArtifactError` for any other content."""
    content = read_json(file)
    try:
        for method in content["methods"].values():
            method["scorers"] = {scorer: _result(found) for scorer, found in method["scorers"].items()}
        summary: Summary = TypeAdapter(Summary).validate_python(content)
    except (AttributeError, KeyError, TypeError, ValidationError) as error:
        raise _not_a_summary(file, _first_word(error)) from None
    if lacking := _lacking(summary):
        raise _not_a_summary(file, lacking)
    return summary


def _lacking(summary: Summary) -> str | None:
    """What a page needs and the summary does not say."""
    needed = {"scorers": summary.scorers, f"method {summary.reference}": summary.reference in summary.methods}
    needed |= {f"model.{part}": part in summary.model for part in ("name", "num_steps", "guidance")}
    for name, method in summary.methods.items():
        needed |= {f"scorer {scorer} of {name}": scorer in method.scorers for scorer in summary.scorers}
        needed |= {f"noise.{statistic} of {name}": statistic in method.noise for statistic in STATISTICS}
    return next((what for what, there in needed.items() if not there), None)


def _first_word(error: Exception) -> str:
    """The key that an error is about."""
    if isinstance(error, ValidationError):
        return ".".join(map(str, error.errors()[0]["loc"]))
    return str(error.args[0]) if isinstance(error, KeyError) else "a mapping"


def _not_a_summary(file: Path, lacking: str) -> ArtifactError:
    return ArtifactError(f"{file} is no summary: {lacking} is missing; run stage=eval again or restore the file")


def scorer_info(
    scorer: Scorer, name: str, selecting: set[str] | None, reference: pd.DataFrame, prompts: Sequence[Prompt]
) -> ScorerInfo:
    """selecting: names of the scorers that chose something, None if unknown. reference: the reference method's rows."""
    role: Role = "reporting"
    if selecting is None:
        role = "unknown" if scorer.may_select else "reporting"
    elif name in selecting:
        role = "selecting"
    deviation = float(reference[PREFIX + name].std(ddof=0))
    reader = scorer if isinstance(scorer, TextReader) else None
    return ScorerInfo(
        scorer.higher_is_better,
        scorer.unit,
        scorer.version,
        role,
        deviation,
        usual_range(scorer),
        None if reader is None else reader.num_tokens,
        None if reader is None else reader.num_cut(prompts),
    )


@dataclass(frozen=True)
class Design:
    """How methods are compared. kinds: method -> its kind; reference: the method that every other is compared with.

    num_resamples, root_seed: of the bootstrap.
    """

    kinds: Mapping[str, str]
    reference: str
    num_resamples: int
    root_seed: int


def method_results(
    table: pd.DataFrame, higher_is_better: Mapping[str, bool | None], embedder: str | None, design: Design
) -> dict[str, MethodResult]:
    """Statistics of a table of parts (`parts.read_parts`), by method.

    higher_is_better: by scorer. embedder: whose embeddings the table holds, None if there are none.
    """
    # Sums depend on the order of their terms in the last digit.
    table = table.sort_values(["method", "prompt_id", "seed"])
    compared = {scorer: _by_category(table, scorer, higher, design) for scorer, higher in higher_is_better.items()}
    judged = {scorer: higher for scorer, higher in higher_is_better.items() if higher is not None}
    matched = {scorer: _compare_matched(table, scorer, higher, design) for scorer, higher in judged.items()}
    columns = {THUMBNAILS: THUMBNAIL} | ({embedder: EMBEDDING} if embedder else {})
    diversity = {name: _diversity(table, column, design) for name, column in columns.items()}
    results = {}
    for method, kind in design.kinds.items():
        rows = table[table["method"] == method]
        peak = rows["peak_memory_bytes"].max()
        results[method] = MethodResult(
            kind=kind,
            evaluations_per_image=float(rows["num_evaluations"].mean()),
            seconds_per_image=float(rows["seconds"].mean()),
            peak_memory_bytes=None if pd.isna(peak) else int(peak),
            scorers={scorer: _of_method(found, method) for scorer, found in compared.items()},
            noise={statistic: _spread(rows[NOISE_PREFIX + statistic]) for statistic in STATISTICS},
            diversity={name: found[method] for name, found in diversity.items() if found},
            matched={scorer: found[method] for scorer, found in matched.items() if method in found},
        )
    return results


def _spread(values: "pd.Series[float]") -> Spread:
    low, high = values.quantile([0.025, 0.975])
    return Spread(float(values.mean()), float(low), float(high))


def _diversity(table: pd.DataFrame, column: str, design: Design) -> dict[str, Diversity] | None:
    cells = table.pivot(index=["prompt_id", "seed"], columns="method", values=column)
    features = {method: np.stack(cells[method].to_list()).astype(np.float64) for method in design.kinds}
    prompts = cells.index.get_level_values("prompt_id")
    seed = derive_seed(design.root_seed, "bootstrap/diversity", "")
    return compare_diversity(features, prompts, design.reference, design.num_resamples, seed)


def _by_category(
    table: pd.DataFrame, scorer: str, higher_is_better: bool | None, design: Design
) -> dict[str, dict[str, Comparison]]:
    """Kind of prompt ("" = all) -> method -> comparison."""
    scores = _scores(table, scorer, design)
    category_of = table.drop_duplicates("prompt_id").set_index("prompt_id")["category"]
    categories = scores.index.get_level_values("prompt_id").map(category_of.to_dict())
    found = {}
    for category in ["", *category_of.unique()]:
        rows = scores if category == "" else scores[categories == category]
        seed = derive_seed(design.root_seed, f"bootstrap/{scorer}", category)
        found[category] = _compare(rows, design.reference, higher_is_better, design.num_resamples, seed)
    return found


def _compare_matched(table: pd.DataFrame, scorer: str, higher_is_better: bool, design: Design) -> dict[str, Against]:
    """Method -> its comparison with the best of the controls of guidance and noise, if the run has any."""
    kinds, reference = design.kinds, design.reference
    of_these = ("guidance", "noise")
    controls = [method for method, kind in kinds.items() if control_of(kind) in of_these and method != reference]
    if not controls:
        return {}
    scores = _scores(table, scorer, design)
    means = scores[controls].mean()
    best = str(means.idxmax() if higher_is_better else means.idxmin())
    others = [method for method, kind in kinds.items() if control_of(kind) is None]
    seed = derive_seed(design.root_seed, f"bootstrap/{scorer}", best)
    found = _compare(scores[[best, *others]], best, higher_is_better, design.num_resamples, seed)
    return {method: Against(best, found[method]) for method in others}


def _compare(
    scores: pd.DataFrame, reference: str, higher_is_better: bool | None, num_resamples: int, seed: int
) -> dict[str, Comparison]:
    """Every column of `_scores` against the column `reference`."""
    columns = {str(method): scores[method].to_numpy() for method in scores}
    prompts = scores.index.get_level_values("prompt_id")
    return compare(columns, reference, prompts, higher_is_better, num_resamples, seed)


def _scores(table: pd.DataFrame, scorer: str, design: Design) -> pd.DataFrame:
    """A row per prompt and seed, a column per method."""
    scores = table.pivot(index=["prompt_id", "seed"], columns="method", values=PREFIX + scorer)[list(design.kinds)]
    assert not scores.isna().to_numpy().any(), "every method has a score for every prompt and seed"
    return scores


def _of_method(found: Mapping[str, dict[str, Comparison]], method: str) -> Result:
    categories = {category: compared[method] for category, compared in found.items() if category}
    return Result(found[""][method], categories)


def _result(content: dict[str, Any]) -> dict[str, Any]:
    # What has a default may be missing: evaluations were written before there were such fields.
    names = [one.name for one in fields(Comparison) if one.name in content or one.default is MISSING]
    return {
        "overall": {name: content[name] for name in names},
        "categories": content["categories"],
    }
