"""What the page of a scores artifact shows, gathered from its files and its record."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from goldennoise.errors import ArtifactError
from goldennoise.evaluation.report import plots
from goldennoise.evaluation.report.checks import check_tables
from goldennoise.evaluation.report.excerpts import excerpt_of, write_report
from goldennoise.evaluation.report.grids import RULE, deciding_scorer, example_rows
from goldennoise.evaluation.report.numbers import grid_size
from goldennoise.evaluation.report.page import Figure, PageContent, render
from goldennoise.evaluation.report.paper_numbers import published_by_id, published_for
from goldennoise.evaluation.report.published import published_table
from goldennoise.evaluation.report.results import (
    category_table,
    front_note,
    main_scorer,
    result_table,
)
from goldennoise.evaluation.report.schedule_scores import schedules_of
from goldennoise.evaluation.report.schedules import chapter
from goldennoise.evaluation.report.scorers import scorer_table
from goldennoise.evaluation.report.sentences import doubt, headline, sentence, subject
from goldennoise.evaluation.scores import scores_table
from goldennoise.evaluation.summary import Summary, read_summary
from goldennoise.generation.units import image_file
from goldennoise.store.artifacts import Artifact
from goldennoise.training import objectives
from goldennoise.training.objectives.base import Objective

_DESCRIBED = ("goldennoise", "torch", "diffusers", "transformers", "open_clip_torch", "numpy")
"""Packages named on the page; the record lists them all."""


def page_content(
    scores: Artifact,
    networks: Sequence[Artifact],
    missing: Sequence[str],
    num_examples: int,
    chosen: Sequence[str] | None = None,
) -> PageContent:
    """The page of `scores`. networks: npnet and schedule artifacts it used; missing: references of those gone.

    chosen: published settings to show, None for those of the model. Raises `ConfigError` for one that there is not.
    """
    summary = read_summary(scores.path / "summary.json")
    table = scores_table(scores, summary)
    others = [method for method in summary.methods if method not in (summary.reference, subject(summary))]
    # One from elsewhere comes without a history.
    trained = [network for network in networks if (network.path / "training.csv").is_file()]
    published = published_for(str(summary.model["name"])) if chosen is None else published_by_id(chosen)
    configs = {name: scores.recorded("config", "method", name, kind=dict) for name in summary.methods}
    schedules = schedules_of(scores, summary, table, configs)
    # The chapter tells of fixed schedules together.
    told = {method for name in schedules.fixed for method in schedules.fixed[name]} if schedules else set()
    return PageContent(
        title=scores.reference,
        headline=headline(summary),
        sentences=[sentence(summary, method) for method in others if method not in told],
        results=result_table(summary),
        kinds=category_table(summary),
        checks=check_tables(summary),
        scorers=scorer_table(summary),
        figures=[*_comparisons(summary), *(_training(network) for network in trained)],
        chapters=[] if schedules is None else [chapter(schedules, [n for n in networks if n.kind == "schedule"])],
        rows=example_rows(table, summary, num_examples, partial(image_file, scores.path)),
        grid_note=_grid_note(summary),
        method_colours=plots.method_numbers(summary),
        published=published_table(published, summary, _named(scores, summary)) if published else None,
        made=_made(scores, summary, missing),
    )


def _named(scores: Artifact, summary: Summary) -> dict[str, str]:
    """Kind of scorer -> its name; of two of a kind the first."""
    return {scores.recorded("config", "scorer", name, "kind", kind=str): name for name in reversed(summary.scorers)}


def _comparisons(summary: Summary) -> list[Figure]:
    scorer = main_scorer(summary)
    by_kind = plots.methods_by_kind(summary)
    which = "" if len(by_kind) == len(summary.methods) else f" Shown here: {', '.join(by_kind)}."
    return [
        Figure(
            "Quality against cost",
            plots.quality_against_cost(summary),
            f"Mean {scorer} with 95 % interval over model evaluations per image, one point per method; the numbers are "
            "in the table of results.",
            f"Mean {scorer} over what an image costs, with 95 % intervals of the mean. The dashed line is "
            f"{summary.reference}{front_note(summary)}{doubt(summary)}. Methods of about equal cost are set a little "
            "apart.",
        ),
        Figure(
            "By kind of prompt",
            plots.category_bars(summary),
            f"Bars of mean {scorer} per kind of prompt and method with 95 % intervals; the numbers are in the table of "
            "kinds.",
            "Means with 95 % intervals. The methods share their noises, so where intervals of means overlap there may "
            f"still be a difference: the table of kinds below has the paired differences.{which}",
        ),
    ]


def _training(network: Artifact) -> Figure:
    history = _history(network.path / "training.csv")
    name = "identity_val_loss"
    identity = network.recorded("counts", name, kind=float) if name in network.record["counts"] else None
    best = float(history["val_loss"].min())
    objective = network.recorded("config", "stage", "objective")
    loss = objectives.component(objective).Loss if objective in objectives.kinds() else Objective
    against = "" if identity is None else f" Leaving the noise as it is has {identity:.4g}: the dashed line."
    return Figure(
        f"Training of {network.reference}",
        plots.training_curve(history, identity, loss.label),
        f"Training and validation loss of {network.reference} over {int(history['epoch'].max())} epochs.",
        f"{loss.sentence}; prompts of the validation part are not trained on. "
        f"The lowest validation loss is {best:.4g}.{against}",
    )


def _history(file: Path) -> pd.DataFrame:
    """Raises `ArtifactError` for a table that is no training's."""
    try:
        history = pd.read_csv(file, usecols=["epoch", "train_loss", "val_loss"], dtype=float)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file} is no history of a training ({error}): restore the file") from None
    if history["val_loss"].isna().all() or history["epoch"].isna().any():
        raise ArtifactError(f"{file} holds no validation loss: restore the file")
    return history


def _grid_note(summary: Summary) -> str:
    judging = deciding_scorer(summary)
    marks = f" Marks: right (✓) or wrong (✗) by {judging}." if judging else ""
    return f"Which ones: {RULE}. Every image of a row starts from the same source noise.{marks}"


def _made(scores: Artifact, summary: Summary, missing: Sequence[str]) -> dict[str, str]:
    record, model = scores.record, summary.model
    methods = {name: scores.recorded("config", "method", name, kind=dict) for name in summary.methods}
    root_seed = scores.recorded("config", "seed")
    made = {
        "Model": f"{model['name']}, {model['num_steps']} steps, guidance {model['guidance']:g}",
        "Prompts and seeds": f"{grid_size(summary.num_prompts, summary.num_seeds)}, root seed {root_seed}",
        "Methods": "; ".join(f"{name} ({settings(methods[name])})" for name in summary.methods),
        "Scorers": "; ".join(f"{name}, version {info.version}, {info.role}" for name, info in summary.scorers.items()),
        "Scores": f"{scores.reference}, fingerprint {scores.fingerprint[:16]}",
    }
    if record["inputs"]:
        inputs = [f"{source['reference']}, fingerprint {source['fingerprint'][:16]}" for source in record["inputs"]]
        made["Made with"] = "; ".join(inputs)
    if missing:
        made["Left out"] = f"the training curve of {', '.join(missing)}, which is not in the store any more"
    versions = record["packages"]
    made["Packages"] = ", ".join(f"{name} {versions[name]}" for name in _DESCRIBED if name in versions)
    made["Source"] = f"commit {record['git_commit']}" if record["git_commit"] else "an installed package"
    made["Run"] = f"{record['start']} to {record['end']}"
    made["Command"] = record["command"]
    return made


def settings(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in config.items())


def write_page(folder: Path, content: PageContent) -> None:
    """The files of `write_report`."""
    write_report(folder, render(content), content.tables, excerpt_of(content))
