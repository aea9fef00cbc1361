"""What a summary says in tables: methods by scorer, and by kind of prompt."""

from collections.abc import Mapping, Sequence
from statistics import mean

from goldennoise import methods
from goldennoise.evaluation.report.marks import Correction, p_text
from goldennoise.evaluation.report.numbers import Scale, grid_size, memory, scale_of, seconds
from goldennoise.evaluation.report.protocol import protocol_notes
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table
from goldennoise.evaluation.significance import detectable_difference
from goldennoise.evaluation.statistics import Comparison
from goldennoise.evaluation.summary import ROLES, Result, Role, ScorerInfo, Summary
from goldennoise.scorers.protocol import DIRECTION

INTERVAL = "[95 % interval]"
DETECTABLE = (
    "Detectable difference: a true one of this size shows with a probability of 80 % (level 5 %, one comparison). "
    "A smaller one may be there unseen."
)
_ROLE: dict[Role, str] = {
    "reporting": "reporting only",
    "selecting": "selecting: it chose noises or training pairs, so its numbers are no evidence",
    "unknown": "may have selected training pairs: they are gone, so nobody can tell",
}


def reporting_first(summary: Summary) -> list[str]:
    """Scorers in the order of the page: those that selected nothing come first, those that only describe last."""
    found = summary.scorers
    return sorted(found, key=lambda name: (found[name].higher_is_better is None, ROLES.index(found[name].role)))


def main_scorer(summary: Summary) -> str:
    """The scorer of the headline and the figures: the first that reports only, or the first of all."""
    return reporting_first(summary)[0]


def correction_of(summary: Summary) -> Correction:
    """For the table of results: every method by every scorer."""
    others = [result for method, result in summary.methods.items() if method != summary.reference]
    return Correction(found.overall for result in others for found in result.scorers.values())


def ratio(summary: Summary, method: str) -> str:
    """Model evaluations per image, as a multiple of the reference's."""
    reference = summary.methods[summary.reference].evaluations_per_image
    return f"{summary.methods[method].evaluations_per_image / reference:.2f}×"


def pareto_front(summary: Summary) -> list[str]:
    """Methods that no other one beats in both the mean of the main scorer and the model evaluations, cheapest first.

    By point estimates: the intervals say how sure the order is.
    """
    scorer = main_scorer(summary)
    sign = -1 if summary.scorers[scorer].higher_is_better is False else 1
    quality = {method: sign * result.scorers[scorer].overall.mean for method, result in summary.methods.items()}
    front: list[str] = []
    for method in sorted(quality, key=lambda method: (summary.methods[method].evaluations_per_image, -quality[method])):
        if not front or quality[method] > quality[front[-1]]:
            front.append(method)
    return front


def front_note(summary: Summary) -> str:
    """Which methods are the Pareto front, after what the dashed line of the figure is."""
    front = pareto_front(summary)
    if len(front) == 1:
        return f"; {front[0]} alone is the Pareto front by these means"
    return f", the solid one the Pareto front by these means: {', '.join(front)}"


def result_table(summary: Summary) -> Table:
    """Methods by every scorer, each beside what it costs."""
    columns = [
        Column("method", numeric=False),
        Column("mean", INTERVAL),
        Column(f"difference to {summary.reference}", INTERVAL),
        Column("p", "(Holm)"),
        Column("detectable difference"),
        Column("wins / ties / losses", "%"),
        Column("model evaluations per image"),
        Column("time per image"),
        Column("peak memory"),
    ]
    sections, correction = [], correction_of(summary)
    for scorer in reporting_first(summary):
        scale, info = scale_of(summary, scorer), summary.scorers[scorer]
        rows = [_row(summary, method, scorer, correction) for method in summary.methods]
        sections.append(Section(scorer, _about(info, scale), rows))
    return Table("All prompts", columns, sections, _footnotes(summary, correction))


def category_table(summary: Summary) -> Table:
    """Mean of the reference and difference of every other method, per kind of prompt and over the kinds."""
    others = [method for method in summary.methods if method != summary.reference]
    columns = [
        Column("kind of prompt", numeric=False),
        Column("prompts"),
        Column(f"{summary.reference}, mean", INTERVAL),
        *(Column(f"{method}, difference", INTERVAL) for method in others),
    ]
    sections = []
    correction = Correction(
        found
        for other in others
        for result in summary.methods[other].scorers.values()
        for found in result.categories.values()
    )
    for scorer in reporting_first(summary):
        scale = scale_of(summary, scorer)
        base = summary.methods[summary.reference].scorers[scorer].categories
        rows = []
        for category, found in base.items():
            differences = [summary.methods[method].scorers[scorer].categories[category] for method in others]
            rows.append(
                [
                    Cell(readable(category)),
                    Cell(str(found.num_prompts)),
                    mean_cell(scale, found),
                    *(difference_cell(scale, result, correction) for result in differences),
                ]
            )
        if len(base) > 1:
            rows.append(_over_the_kinds(scale, base, [summary.methods[other].scorers[scorer] for other in others]))
        sections.append(Section(scorer, _about(summary.scorers[scorer], scale), rows))
    caption = f"By kind of prompt: mean of {summary.reference}, and the paired differences of the others to it"
    over = "Mean of the kinds: every kind counts alike, as in GenEval's overall number; without an interval."
    footnotes = [correction.note, over] if len(base) > 1 else [correction.note]
    return Table(caption, columns, sections, [*footnotes, *protocol_notes(summary)])


def readable(category: str) -> str:
    """A category as a person writes it."""
    return category.replace("_", " ")


def _row(summary: Summary, method: str, scorer: str, correction: Correction) -> list[Cell]:
    result, found = summary.methods[method], summary.methods[method].scorers[scorer].overall
    scale = scale_of(summary, scorer)
    reference = method == summary.reference
    shares = " / ".join(f"{100 * share:.1f}" for share in (found.wins, found.ties, found.losses))
    compared = not reference and summary.scorers[scorer].higher_is_better is not None
    return [
        Cell(method, "reference" if reference else ""),
        mean_cell(scale, found),
        Cell("–") if reference else difference_cell(scale, found, correction),
        Cell(p_text(correction.p_value(found))),
        Cell(_detectable(scale, found)),
        Cell(shares if compared else "–"),
        Cell(f"{result.evaluations_per_image:.4g}", f"({ratio(summary, method)})"),
        Cell(seconds(result.seconds_per_image)),
        Cell(memory(result.peak_memory_bytes)),
    ]


def _over_the_kinds(scale: Scale, base: Mapping[str, Comparison], others: Sequence[Result]) -> list[Cell]:
    differences = [[found.difference for found in result.categories.values()] for result in others]
    return [
        Cell("mean of the kinds"),
        Cell(str(sum(found.num_prompts for found in base.values()))),
        Cell(scale.mean(mean(found.mean for found in base.values()))),
        *(Cell(scale.difference(mean(values))) for values in differences),
    ]


def mean_cell(scale: Scale, found: Comparison) -> Cell:
    return Cell(scale.mean(found.mean), scale.mean_interval(found))


def difference_cell(scale: Scale, found: Comparison, correction: Correction) -> Cell:
    strong = correction.shows(found)
    return Cell(scale.difference(found.difference), scale.difference_interval(found), strong=strong)


def _detectable(scale: Scale, found: Comparison) -> str:
    if not found.standard_error:
        return "–"
    return scale.mean(detectable_difference(found.standard_error, found.num_prompts))


def _about(info: ScorerInfo, scale: Scale) -> str:
    return f"{_ROLE[info.role]}; {scale.unit}, {DIRECTION[info.higher_is_better]}"


def _footnotes(summary: Summary, correction: Correction) -> list[str]:
    return [
        f"{grid_size(summary.num_prompts, summary.num_seeds)}, every method from the same source noise.",
        correction.note,
        intervals_note(summary),
        *([DETECTABLE] if correction.num else []),
        "Wins, ties and losses: shares of (prompt, seed) pairs; scores within 0.001 % of each other tie.",
        cost_note(summary),
        *_differences(summary),
        *_schedule_controls(summary),
        *protocol_notes(summary),
    ]


def intervals_note(summary: Summary) -> str:
    return (
        f"Intervals: bootstrap over prompts ({summary.num_resamples:,} resamples, all seeds of a prompt drawn "
        "together), expanded percentiles."
    )


def cost_note(summary: Summary) -> str:
    return (
        "Cost: golden noise, sampling and decoding, without encoding prompts. Peak memory: "
        f"{summary.memory}, weights included."
    )


def _schedule_controls(summary: Summary) -> list[str]:
    """One footnote on all of them; none where there are none."""
    found = [method for method, result in summary.methods.items() if methods.control_of(result.kind) == "schedule"]
    what = "the source noise as it is, sampled on another schedule"
    if len(found) == 1:
        return [f"{found[0]} is a schedule control: {what}. Its gain is the schedule's."]
    return [f"{', '.join(found)} are schedule controls: {what}. Their gains are the schedules'."] if found else []


def _differences(summary: Summary) -> list[str]:
    """What the methods after a published one say of it, in one footnote; none where there are no such methods."""
    known = [kind for kind in methods.kinds() if kind in {method.kind for method in summary.methods.values()}]
    told = [methods.component(kind).DIFFERS for kind in known if hasattr(methods.component(kind), "DIFFERS")]
    opening = "Published methods are this project's versions, and docs/science.md lists what differs:"
    return [" ".join([opening, *told])] if told else []
