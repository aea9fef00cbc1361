"""Tables that test a gain: noise out of range, seeds that collapse, a scorer that was hacked."""

import math
from collections.abc import Sequence

from goldennoise.evaluation.report.marks import Correction
from goldennoise.evaluation.report.numbers import Scale, signed, spread_text
from goldennoise.evaluation.report.results import INTERVAL, difference_cell, mean_cell, reporting_first
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table
from goldennoise.evaluation.summary import MethodResult, ScorerInfo, Spread, Summary
from goldennoise.generation.noise import BANDS, STATISTICS
from goldennoise.generation.thumbnails import THUMBNAIL_PX, THUMBNAILS

_RANGE = "[95 % of samples]"
_COSINE = Scale(1.0, 3, "", "")
_IMAGES = Scale(1.0, 2, "", "")


def check_tables(summary: Summary) -> list[Table]:
    """What there is to check: noise always, diversity and hacking where they were measured."""
    measured = [diversity_table(summary), gap_table(summary)]
    return [noise_table(summary), spectrum_table(summary), *(table for table in measured if table is not None)]


def noise_table(summary: Summary) -> Table:
    """The statistics of the noise that sampling started from, per method; its spectrum is in a table of its own."""
    notes = [
        "The model was trained on noise from N(0, I), which has norm / √d 1, mean 0, variance 1 and no correlation of "
        f"spatial neighbours. Compare with the range of {summary.reference}.",
        "Log10 bound: of the probability that N(0, I) deviates as much (arXiv 2405.18881). Zero says nothing against "
        "N(0, I); a strongly negative one says that it was not drawn from it.",
    ]
    names = [name for name in STATISTICS if name not in BANDS]
    return _of_noise(summary, "The noise that sampling started from", names, notes)


def spectrum_table(summary: Summary) -> Table:
    """The power of that noise at low, middle and high frequencies, per method."""
    start, end = BANDS["middle_frequency"]
    notes = [
        "Over the mean power of all spatial frequencies, which is the same at all of them for N(0, I). Low: where the "
        f"higher of both directions is below {start:g} of Nyquist's frequency; middle: up to {end:g}; high: above."
    ]
    return _of_noise(summary, "Its power by spatial frequency", list(BANDS), notes)


def _of_noise(summary: Summary, caption: str, names: Sequence[str], notes: Sequence[str]) -> Table:
    columns = [Column("method", numeric=False), *(Column(STATISTICS[name], _RANGE) for name in names)]
    rows = [
        [Cell(method), *(_spread(result.noise[name]) for name in names)] for method, result in summary.methods.items()
    ]
    return Table(caption, columns, [Section("all samples", "", rows)], notes)


def diversity_table(summary: Summary) -> Table | None:
    """How different the seeds of a prompt are, per method; None where it was not measured."""
    measured = summary.methods[summary.reference].diversity
    if not measured:
        return None
    columns = [
        Column("method", numeric=False),
        Column("mean distance", INTERVAL),
        Column(f"share of {summary.reference}"),
        Column("difference", INTERVAL),
        Column("Vendi score", INTERVAL),
    ]
    sections = [
        Section(features, _about_features(summary, features), _diversity(summary, features)) for features in measured
    ]
    notes = [
        f"Between the {summary.num_seeds} seeds of a prompt: mean of 1 − cosine over pairs, and the Vendi score, the "
        "effective number of different images (arXiv 2210.02410).",
        _correction(summary).note,
    ]
    return Table("Diversity from seed to seed", columns, sections, notes)


def _correction(summary: Summary) -> Correction:
    """For the table of diversity, which compares distances."""
    others = [result for method, result in summary.methods.items() if method != summary.reference]
    return Correction(found.distance for result in others for found in result.diversity.values())


def _about_features(summary: Summary, features: str) -> str:
    if features == THUMBNAILS:
        return f"colours of {THUMBNAIL_PX} × {THUMBNAIL_PX} areas, which no scorer has a part in"
    if summary.scorers[features].role == "reporting":
        return "its image embedding"
    return "its image embedding; it also chose, and images that it chose lie closer together in it for that alone"


def _diversity(summary: Summary, features: str) -> list[list[Cell]]:
    rows = []
    reference, correction = summary.methods[summary.reference].diversity[features], _correction(summary)
    for method, result in summary.methods.items():
        found = result.diversity[features]
        away = found.distance
        rows.append(
            [
                Cell(method),
                mean_cell(_COSINE, away),
                Cell(f"{100 * away.mean / reference.distance.mean:.1f} %" if reference.distance.mean else "–"),
                Cell("–") if method == summary.reference else difference_cell(_COSINE, away, correction),
                mean_cell(_IMAGES, found.vendi),
            ]
        )
    return rows


def gap_table(summary: Summary) -> Table | None:
    """Gains by selecting and by reporting scorers side by side; None unless there are both."""
    scorers = [name for name in reporting_first(summary) if summary.scorers[name].higher_is_better is not None]
    if not {"selecting", "reporting"} <= {summary.scorers[scorer].role for scorer in scorers}:
        return None
    columns = [
        Column("method", numeric=False),
        *(Column(f"{scorer} ({summary.scorers[scorer].role})") for scorer in scorers),
        Column("gap"),
    ]
    rows = []
    for method, result in summary.methods.items():
        if method == summary.reference:
            continue
        gains = {scorer: _gain(result, scorer, summary.scorers[scorer]) for scorer in scorers}
        gap = _mean(gains, summary, "selecting") - _mean(gains, summary, "reporting")
        rows.append([Cell(method), *(_deviations(gain) for gain in gains.values()), _deviations(gap)])
    notes = [
        f"Gains over {summary.reference} in standard deviations of its scores, positive for better. Gap: mean gain by "
        "scorers that selected minus mean gain by those that only report. A large gap may be a scorer that was hacked. "
        "No number: the scorer gives all images of the reference the same score."
    ]
    return Table(
        "Gains by the scorers that select and by those that judge", columns, [Section("all prompts", "", rows)], notes
    )


def _gain(result: MethodResult, scorer: str, info: ScorerInfo) -> float:
    difference = result.scorers[scorer].overall.difference * (1 if info.higher_is_better else -1)
    return difference / info.deviation if info.deviation else math.nan


def _deviations(value: float) -> Cell:
    return Cell("–" if math.isnan(value) else signed(value, 2))


def _mean(gains: dict[str, float], summary: Summary, role: str) -> float:
    of_role = [gain for scorer, gain in gains.items() if summary.scorers[scorer].role == role]
    return sum(of_role) / len(of_role)


def _spread(found: Spread) -> Cell:
    return Cell(*spread_text(found.mean, found.low, found.high))
