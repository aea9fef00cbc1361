"""What a summary says: the result tables and, first of all, one honest sentence."""

from collections.abc import Mapping, Sequence
from statistics import mean

from goldennoise import methods
from goldennoise.evaluation.report.numbers import Scale, memory, scale_of, seconds
from goldennoise.evaluation.report.protocol import protocol_notes
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table
from goldennoise.evaluation.statistics import MIN_CLUSTERS, Comparison
from goldennoise.evaluation.summary import ROLES, Result, Role, ScorerInfo, Summary
from goldennoise.scorers.protocol import DIRECTION

INTERVAL = "[95 % interval]"
MARKED = "Bold or *: the 95 % interval of the difference excludes zero; no correction for several comparisons."
_ROLE: dict[Role, str] = {
    "reporting": "reporting only",
    "selecting": "selecting: it chose noises or training pairs, so its numbers are no evidence",
    "unknown": "may have selected training pairs: they are gone, so nobody can tell",
}
_DOUBT: dict[Role, str] = {
    "reporting": "",
    "selecting": "; {scorer} itself selected, so this is no independent evidence",
    "unknown": "; {scorer} may have selected the training pairs, so this may be no independent evidence",
}


def reporting_first(summary: Summary) -> list[str]:
    """Scorers in the order of the page: those that selected nothing come first, those that only describe last."""
    found = summary.scorers
    return sorted(found, key=lambda name: (found[name].higher_is_better is None, ROLES.index(found[name].role)))


def main_scorer(summary: Summary) -> str:
    """The scorer of the headline and the figures: the first that reports only, or the first of all."""
    return reporting_first(summary)[0]


def subject(summary: Summary) -> str | None:
    """The method the headline is about: the first NPNet, or the first beside the reference; None if it stands alone.

    A control is the last choice.
    """
    others = [method for method in summary.methods if method != summary.reference]
    others.sort(key=lambda method: methods.control_of(summary.methods[method].kind) is not None)
    networks = [method for method in others if summary.methods[method].kind == "npnet"]
    return next(iter(networks or others), None)


def headline(summary: Summary) -> str:
    """What the comparison shows for its subject, in one sentence that claims no more than the interval allows."""
    method = subject(summary)
    if method is not None:
        return sentence(summary, method)
    found = summary.methods[summary.reference].scorers[main_scorer(summary)].overall
    scale = scale_of(summary, main_scorer(summary))
    return (
        f"{summary.reference} reaches {scale.mean(found.mean)} {scale.mean_interval(found)} {scale.unit} by "
        f"{main_scorer(summary)}; there is no other method to compare it with."
    )


def sentence(summary: Summary, method: str) -> str:
    """One method against the reference by the main scorer."""
    scorer = main_scorer(summary)
    found = summary.methods[method].scorers[scorer].overall
    cost = f"at {ratio(summary, method)} the model evaluations"
    compared = f"by {_change(summary, found)} against {summary.reference} {cost}"
    if shows_difference(found):
        better = _is_better(summary, found)
        verb = {True: "improves", False: "worsens", None: "changes"}[better]
        text = f"{method} {verb} {scorer} {compared}"
        text += _against_controls(summary, method) if better else ""
    elif found.low is None:
        text = f"{method} changes {scorer} {compared}: fewer than {MIN_CLUSTERS} prompts show nothing"
    else:
        text = f"{method} changes {scorer} {compared}: the interval includes zero, so no difference is shown"
    return text + doubt(summary) + "."


def _against_controls(summary: Summary, method: str) -> str:
    """What is left of a gain beside the best of the controls of guidance and noise, if the run has any."""
    matched = summary.methods[method].matched.get(main_scorer(summary))
    if matched is None:
        return ""
    found = matched.comparison
    text = f", and by {_change(summary, found)} against {matched.method}, the best of the controls"
    stays = shows_difference(found) and _is_better(summary, found)
    return text if stays else f"{text}: beside that the gain vanishes"


def _change(summary: Summary, found: Comparison) -> str:
    scale = scale_of(summary, main_scorer(summary))
    return f"{scale.difference(found.difference)} {scale.points} {scale.difference_interval(found)}"


def _is_better(summary: Summary, found: Comparison) -> bool | None:
    higher = summary.scorers[main_scorer(summary)].higher_is_better
    return None if higher is None else (found.difference > 0) == higher


def doubt(summary: Summary) -> str:
    """What is to be said of the main scorer if it may itself have selected, else nothing."""
    scorer = main_scorer(summary)
    return _DOUBT[summary.scorers[scorer].role].format(scorer=scorer)


def shows_difference(found: Comparison) -> bool:
    """Whether the interval of the difference excludes zero."""
    return found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)


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


def result_table(summary: Summary) -> Table:
    """Methods by every scorer, each beside what it costs."""
    columns = [
        Column("method", numeric=False),
        Column("mean", INTERVAL),
        Column(f"difference to {summary.reference}", INTERVAL),
        Column("wins / ties / losses", "%"),
        Column("model evaluations per image"),
        Column("time per image"),
        Column("peak memory"),
    ]
    sections = []
    for scorer in reporting_first(summary):
        scale, info = scale_of(summary, scorer), summary.scorers[scorer]
        rows = [_row(summary, method, scorer, scale) for method in summary.methods]
        sections.append(Section(scorer, _about(info, scale), rows))
    return Table("All prompts", columns, sections, _footnotes(summary))


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
                    *(difference_cell(scale, result) for result in differences),
                ]
            )
        if len(base) > 1:
            rows.append(_over_the_kinds(scale, base, [summary.methods[other].scorers[scorer] for other in others]))
        sections.append(Section(scorer, _about(summary.scorers[scorer], scale), rows))
    caption = f"By kind of prompt: mean of {summary.reference}, and the paired differences of the others to it"
    footnotes = ["Mean of the kinds: every kind counts alike, as in GenEval's overall number; without an interval."]
    return Table(caption, columns, sections, [*(footnotes if len(base) > 1 else []), *protocol_notes(summary)])


def readable(category: str) -> str:
    """A category as a person writes it."""
    return category.replace("_", " ")


def _row(summary: Summary, method: str, scorer: str, scale: Scale) -> list[Cell]:
    result, found = summary.methods[method], summary.methods[method].scorers[scorer].overall
    reference = method == summary.reference
    shares = " / ".join(f"{100 * share:.1f}" for share in (found.wins, found.ties, found.losses))
    compared = not reference and summary.scorers[scorer].higher_is_better is not None
    return [
        Cell(method, "reference" if reference else ""),
        mean_cell(scale, found),
        Cell("–") if reference else difference_cell(scale, found),
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


def difference_cell(scale: Scale, found: Comparison) -> Cell:
    return Cell(scale.difference(found.difference), scale.difference_interval(found), strong=shows_difference(found))


def _about(info: ScorerInfo, scale: Scale) -> str:
    return f"{_ROLE[info.role]}; {scale.unit}, {DIRECTION[info.higher_is_better]}"


def _footnotes(summary: Summary) -> list[str]:
    return [
        f"{summary.num_prompts} prompts × {summary.num_seeds} seeds, every method from the same source noise. {MARKED}",
        intervals_note(summary),
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
