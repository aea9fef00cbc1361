"""What a summary says in sentences: first of all, one honest headline."""

from goldennoise import methods
from goldennoise.evaluation.report.marks import p_text, shows_difference
from goldennoise.evaluation.report.numbers import scale_of
from goldennoise.evaluation.report.results import correction_of, main_scorer, ratio
from goldennoise.evaluation.statistics import MIN_CLUSTERS, Comparison
from goldennoise.evaluation.summary import Role, Summary

_DOUBT: dict[Role, str] = {
    "reporting": "",
    "selecting": "; {scorer} itself selected, so this is no independent evidence",
    "unknown": "; {scorer} may have selected the training pairs, so this may be no independent evidence",
}


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
    correction = correction_of(summary)
    if correction.shows(found):
        better = _is_better(summary, found)
        verb = {True: "improves", False: "worsens", None: "changes"}[better]
        text = f"{method} {verb} {scorer} {compared}"
        text += _against_controls(summary, method) if better else ""
    elif found.ties == 1:
        text = f"{method} has the same {scorer} as {summary.reference} in every pair {cost}: no difference is shown"
    elif found.low is None:
        text = f"{method} changes {scorer} {compared}: fewer than {MIN_CLUSTERS} prompts show nothing"
    elif shows_difference(found):
        p_value = p_text(correction.p_value(found))
        text = (
            f"{method} changes {scorer} {compared}: the interval excludes zero, but among {correction.num} comparisons "
            f"that may be chance (p {p_value} after Holm's correction)"
        )
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
    """A warning if the main scorer may itself have selected, else nothing."""
    scorer = main_scorer(summary)
    return _DOUBT[summary.scorers[scorer].role].format(scorer=scorer)
