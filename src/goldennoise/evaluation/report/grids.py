"""Side-by-side images: the same prompt and seed in a row, a method per column, chosen by a rule and not by eye."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from goldennoise.data.prompts import Prompt
from goldennoise.errors import ArtifactError
from goldennoise.evaluation.report.results import readable, reporting_first
from goldennoise.evaluation.summary import Summary
from goldennoise.generation.batch import Sample
from goldennoise.scorers.protocol import SHARE

LARGEST_PX = 256
"""Larger images are reduced to this before they are embedded, or a page of SDXL images would weigh 100 MB."""

RULE = "the first prompts of every kind, in the order of the prompt set, each with its first seed; nobody picked them"


@dataclass(frozen=True)
class Picture:
    """One cell. verdict: right (True), wrong (False) or not decided (None)."""

    method: str
    data_uri: str
    verdict: bool | None
    description: str


@dataclass(frozen=True)
class Row:
    """One prompt and seed across the methods."""

    prompt: str
    category: str
    seed: int
    pictures: Sequence[Picture]


def deciding_scorer(summary: Summary) -> str | None:
    """The scorer that marks images right or wrong: the first reporting one that gives 1 or 0, None if there is none."""
    reporting = [scorer for scorer in reporting_first(summary) if summary.scorers[scorer].role == "reporting"]
    return next((scorer for scorer in reporting if summary.scorers[scorer].unit == SHARE), None)


def chosen(scores: pd.DataFrame, num_examples: int) -> list[Sample]:
    """The examples by `RULE`: kinds take turns, then stand together."""
    prompts = scores[scores["seed"] == scores["seed"].min()].drop_duplicates("prompt_id")
    prompts = prompts.assign(turn=prompts.groupby("category", sort=False).cumcount())
    order = {category: place for place, category in enumerate(prompts["category"].unique())}
    first = prompts.sort_values("turn", kind="stable").head(num_examples)
    first = first.sort_values("category", key=lambda column: column.map(order), kind="stable")
    return [Sample(Prompt(row.prompt, row.prompt_id, row.category), row.seed) for row in first.itertuples()]


def example_rows(
    scores: pd.DataFrame, summary: Summary, num_examples: int, image_of: Callable[[str, str, int], Path]
) -> list[Row]:
    """The grid of `scores`, rows of a `scores.parquet`. image_of: file of a method, a prompt's id and a seed."""
    decided = scores[scores["scorer"] == deciding_scorer(summary)]
    keys = zip(decided["method"], decided["prompt_id"], decided["seed"], strict=True)
    verdicts = dict(zip(keys, decided["score"] == 1, strict=True))
    rows = []
    for sample in chosen(scores, num_examples):
        prompt, pictures = sample.prompt, []
        for method in summary.methods:
            verdict = verdicts.get((method, prompt.id, sample.seed))
            uri = embedded(image_of(method, prompt.id, sample.seed))
            pictures.append(Picture(method, uri, verdict, _description(method, prompt.text, verdict)))
        rows.append(Row(prompt.text, readable(prompt.category), sample.seed, pictures))
    return rows


def embedded(file: Path) -> str:
    """The image as a data URI; PNG, at most `LARGEST_PX` on its longer side."""
    if not file.is_file():
        raise ArtifactError(f"{file} is missing: run stage=eval again or restore the file")
    written = io.BytesIO()
    try:
        with Image.open(file) as image:
            image.thumbnail((LARGEST_PX, LARGEST_PX), Image.Resampling.LANCZOS)
            image.save(written, format="PNG", optimize=True)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow reports a damaged PNG as a SyntaxError.
        raise ArtifactError(f"{file} cannot be read ({error}): run stage=eval again or restore the file") from None
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()


def _description(method: str, prompt: str, verdict: bool | None) -> str:
    verdict_told = {True: ", judged right", False: ", judged wrong", None: ""}[verdict]
    return f"{method}: image for “{prompt}”{verdict_told}"
