"""The page's chapter on noise levels: quality over evaluations by schedule, and the levels that a network chose."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldennoise.errors import ArtifactError
from goldennoise.evaluation.report import schedule_plots
from goldennoise.evaluation.report.marks import Correction, shows_difference
from goldennoise.evaluation.report.page import Chapter, Figure
from goldennoise.evaluation.report.results import INTERVAL, difference_cell
from goldennoise.evaluation.report.schedule_scores import Learned, Schedules, by_difficulty
from goldennoise.evaluation.report.tables import Cell, Column, Section, Table
from goldennoise.evaluation.statistics import Comparison
from goldennoise.generation.units import LEVELS, has_numbers, table_of
from goldennoise.scorers.protocol import SHARE
from goldennoise.store.artifacts import Artifact
from goldennoise.training.time_prediction.options import PROGRESS

MARGIN = 0.03
"""Of "as good as": three points of a share of right images, and of other scores three hundredths of their spread."""


def chapter(found: Schedules, trained: Sequence[Artifact]) -> Chapter:
    """What is to be said of schedules, in figures, tables and sentences. trained: the schedule artifacts.

    Raises `ArtifactError` for a training whose progress cannot be read.
    """
    figures = [
        Figure(
            "Quality against evaluations, by schedule",
            schedule_plots.curves(found),
            f"Mean {found.scorer} with 95 % intervals over model evaluations per image, a curve for each schedule.",
            f"Mean {found.scorer} with 95 % intervals of the mean. A fixed schedule is a curve over its numbers of "
            "steps, a learned one a point. All methods start from the same noises.",
        )
    ]
    figures += [_chosen(found, adaptive) for adaptive in _adaptive(found)]
    figures += map(_training, trained)
    tables = [worth_table(found), *([fewest_table(found)] if found.fixed else [])]
    return Chapter("Schedules", sentences(found), figures, tables)


def _adaptive(found: Schedules) -> list[Learned]:
    return [learned for learned in found.learned if learned.mode == "adaptive" and learned.artifact is not None]


def sentences(found: Schedules) -> list[str]:
    """What the evidence allows to say of levels that are chosen for each image."""
    whose = {"shared": "the same levels for every image", "shuffled": "levels chosen for other prompts"}
    told = []
    for adaptive in _adaptive(found):
        for other in found.controls(adaptive):
            if other.mode not in whose:
                continue
            compared, scale = found.compared(adaptive.method, found.scores[other.method]), found.scale
            change = f"{scale.difference(compared.difference)} {scale.points} {scale.difference_interval(compared)}"
            verdict = "" if shows_difference(compared) else "; no difference is shown"
            told.append(
                f"Levels chosen for each image ({adaptive.method}) change {found.scorer} by {change} against "
                f"{whose[other.mode]} ({other.method}), at {_costs(found, adaptive, other)} evaluations{verdict}."
            )
    return told + [_of_fixed(found, learned) for learned in found.learned if learned.mode == "shared"]


def _of_fixed(found: Schedules, shared: Learned) -> str:
    """The mean levels beside every fixed schedule of as many evaluations."""
    cost, scale, told = found.evaluations(shared.method), found.scale, []
    for name in found.fixed:
        if (base := found.at(name, cost)) is not None:
            compared = found.compared(shared.method, base)
            told.append(f"{scale.difference(compared.difference)} {scale.difference_interval(compared)} beside {name}")
    differences = ", ".join(told) or "no fixed schedule of this run reaches there"
    return f"The mean levels ({shared.method}) at their {cost:.3g} evaluations, {scale.points}: {differences}."


def _costs(found: Schedules, one: Learned, other: Learned) -> str:
    return f"{found.evaluations(one.method):.3g} and {found.evaluations(other.method):.3g}"


def worth_table(found: Schedules) -> Table:
    """Paired differences between schedules: of adapting to the image, and of the levels themselves."""
    columns = [
        Column("schedule", numeric=False),
        Column("compared with", numeric=False),
        Column("evaluations"),
        Column("difference", INTERVAL),
    ]
    rows: list[tuple[tuple[str, str, str], Comparison]] = []
    for adaptive in _adaptive(found):
        for other in found.controls(adaptive):
            compared = found.compared(adaptive.method, found.scores[other.method])
            rows.append(((adaptive.method, other.method, _costs(found, adaptive, other)), compared))
    for learned in found.learned:
        if learned.mode not in ("adaptive", "shared") or learned.artifact is None:
            continue
        cost = found.evaluations(learned.method)
        for name in found.fixed:
            base = found.at(name, cost)
            if base is not None:
                compared = found.compared(learned.method, base)
                rows.append(((learned.method, name, f"{cost:.3g}"), compared))
    correction = Correction(compared for _, compared in rows)
    notes = [
        f"{found.scorer}, {found.scale.points}. {correction.note}",
        "A fixed schedule is taken at the same number of evaluations: its scores are interpolated between the two "
        "nearest numbers of steps, image by image.",
    ]
    cells = [[*map(Cell, told), difference_cell(found.scale, compared, correction)] for told, compared in rows]
    return Table("What the levels are worth", columns, [Section("all prompts", "", cells)], notes)


def fewest_table(found: Schedules) -> Table:
    """The fewest evaluations of each schedule that come within `MARGIN` of the longest fixed one."""
    longest = max((method for methods in found.fixed.values() for method in methods), key=found.evaluations)
    info = found.summary.scorers[found.scorer]
    margin = MARGIN if info.unit.endswith(SHARE) else MARGIN * info.deviation
    sign = -1 if info.higher_is_better is False else 1
    rows = []
    schedules = {**found.fixed} | {learned.method: [learned.method] for learned in found.learned}
    for name, methods in schedules.items():
        compared = {method: found.compared(method, found.scores[longest]) for method in methods}
        by_mean = [method for method in methods if sign * compared[method].difference >= -margin]
        surely = [method for method in methods if _worst(compared[method], sign) >= -margin]
        rows.append([Cell(name), *(_fewest(found, kept) for kept in (by_mean, surely))])
    columns = [Column("schedule", numeric=False), Column("by its mean"), Column("by its interval")]
    notes = [
        "Evaluations per image of the shortest that is there. By its mean: the difference is above minus the margin. "
        "By its interval: the whole 95 % interval is. A dash: none."
    ]
    caption = f"Fewest evaluations within {found.scale.mean(margin)} {found.scale.points} of {longest}"
    return Table(caption, columns, [Section("all prompts", "", rows)], notes)


def _worst(compared: Comparison, sign: int) -> float:
    end = compared.low if sign > 0 else compared.high
    return -np.inf if end is None else sign * end


def _fewest(found: Schedules, methods: list[str]) -> Cell:
    return Cell(f"{found.evaluations(methods[0]):.3g}" if methods else "–")


def _chosen(found: Schedules, adaptive: Learned) -> Figure:
    rows = found.levels[found.levels["method"] == adaptive.method]
    easy, hard = (rows[rows["prompt_id"].isin(prompts)][LEVELS].tolist() for prompts in by_difficulty(found))
    others = [other.method for other in found.controls(adaptive) if other.mode == "shared"]
    shared = [found.levels[found.levels["method"] == other][LEVELS].iloc[0] for other in others]
    counts: NDArray[np.int64] = rows[LEVELS].map(len).to_numpy() - 1
    return Figure(
        f"The levels that {adaptive.method} chose",
        schedule_plots.chosen(easy, hard, shared, counts),
        f"Left: the mean noise level at every step for easy and for hard prompts. Right: the shares of images by "
        f"number of steps, from {counts.min()} to {counts.max()}.",
        f"Left: mean noise level at each step, with the range of 95 % of the images; 1 is the first level of training. "
        f"Easy and hard: the quarters of prompts with the best and the worst {found.scorer} by "
        f"{found.summary.reference}. Right: how many steps the images took, {counts.mean():.1f} in the mean.",
    )


def _training(schedule: Artifact) -> Figure:
    file, scorer = schedule.path / PROGRESS, schedule.recorded("config", "stage", "reward_scorer", kind=str)
    progress = table_of(file)
    columns = ["update", "score", "num_steps"]
    if progress is None or not {*columns} <= {*progress} or not has_numbers(progress, columns):
        raise ArtifactError(f"{file} is no progress of a training: restore the file")
    first, last = progress[:10].mean(), progress[-10:].mean()
    return Figure(
        f"Training of {schedule.reference}",
        schedule_plots.training(progress, scorer),
        f"Mean {scorer} and mean number of steps of the chains of each of {len(progress)} updates.",
        f"Chains that were drawn from the policy: in the first ten updates {first['num_steps']:.1f} steps and a mean "
        f"{scorer} of {first['score']:.3g}, in the last ten {last['num_steps']:.1f} and {last['score']:.3g}.",
    )
