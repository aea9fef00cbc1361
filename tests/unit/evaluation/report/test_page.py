import re
import xml.etree.ElementTree
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from unit.evaluation.report.summaries import GAIN, summary

from goldennoise.errors import ArtifactError
from goldennoise.evaluation.report import plots
from goldennoise.evaluation.report.checks import check_tables
from goldennoise.evaluation.report.grids import chosen, example_rows
from goldennoise.evaluation.report.page import Figure, PageContent, render
from goldennoise.evaluation.report.paper_numbers import published_for
from goldennoise.evaluation.report.published import published_table
from goldennoise.evaluation.report.results import category_table, result_table
from goldennoise.evaluation.report.sentences import headline
from goldennoise.evaluation.summary import Summary
from goldennoise.generation.units import image_file
from goldennoise.training import objectives
from goldennoise.training.objectives.base import Objective


def scores_table() -> pd.DataFrame:
    kinds = ["counting", "counting", "counting", "colors", "position", "position"]
    rows = []
    for place, kind in enumerate(kinds):
        for seed in (0, 1):
            for method in ("standard", "npnet"):
                right = float(method == "npnet" and place != 1)
                rows.append((f"id{place}", f"prompt {place}", kind, seed, method, "verifier", right))
                rows.append((f"id{place}", f"prompt {place}", kind, seed, method, "clip", 1.0))
    return pd.DataFrame(rows, columns=["prompt_id", "prompt", "category", "seed", "method", "scorer", "score"])


def write_images(folder: Path, side_px: int = 8) -> None:
    for row in scores_table().itertuples():
        file = image_file(folder, str(row.method), str(row.prompt_id), int(str(row.seed)))
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (side_px, side_px), "red").save(file)


def test_every_objective_has_an_axis_and_a_sentence() -> None:
    losses = [objectives.component(kind).Loss for kind in objectives.kinds()]
    assert len({loss.sentence for loss in losses} - {Objective.sentence}) == len(losses) == 5
    assert all(loss.label for loss in losses)


def test_examples_are_the_first_of_every_kind_with_the_first_seed() -> None:
    table = scores_table()
    assert [(s.prompt.text, s.seed) for s in chosen(table, 3)] == [("prompt 0", 0), ("prompt 3", 0), ("prompt 4", 0)]
    assert [s.prompt.text for s in chosen(table, 5)] == ["prompt 0", "prompt 1", "prompt 3", "prompt 4", "prompt 5"]
    assert len(chosen(table, 100)) == 6


def test_pictures_are_marked_by_the_reporting_scorer(tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = example_rows(scores_table(), summary(), 4, partial(image_file, tmp_path))
    assert [[picture.verdict for picture in row.pictures] for row in rows] == [
        [False, True],
        [False, False],
        [False, True],
        [False, True],
    ]
    assert rows[0].pictures[1].description == "npnet: image for “prompt 0”, judged right"


@pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    write_images(tmp_path)
    image_file(tmp_path, "npnet", "id3", 0).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"id3-0\.png cannot be read \(.*\): run stage=eval again or restore"):
        example_rows(scores_table(), summary(), 4, partial(image_file, tmp_path))


def test_large_images_are_reduced(tmp_path: Path) -> None:
    write_images(tmp_path, side_px=512)
    large = example_rows(scores_table(), summary(), 1, partial(image_file, tmp_path))[0].pictures[0].data_uri
    assert len(large) < 4_000


@pytest.mark.parametrize(
    "svg",
    [
        plots.category_bars(summary()),
        plots.quality_against_cost(summary()),
        plots.training_curve(
            pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "val_loss": [1.1, 0.7]}), 0.9, "loss"
        ),
    ],
    ids=["bars", "cost", "training"],
)
def test_figures_are_bare_svg_in_the_colours_of_the_page(svg: str) -> None:
    xml.etree.ElementTree.fromstring(svg)
    assert svg.startswith("<svg")
    assert "http" not in svg
    assert "<style" not in svg
    assert "#0102" not in svg
    assert "var(--text)" in svg
    assert re.search(r"var\(--(method-[01]|accent)\)", svg)
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    assert references <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_kinds_of_prompts_are_no_formulas_in_a_figure() -> None:
    found = summary()
    methods = {}
    for name, method in found.methods.items():
        scorers = {
            scorer: replace(result, categories={r"$\foo$ <b>": result.overall})
            for scorer, result in method.scorers.items()
        }
        methods[name] = replace(method, scorers=scorers)
    assert r"$\foo$ &lt;b&gt;" in plots.category_bars(replace(found, methods=methods))


def test_figures_are_the_same_every_time() -> None:
    assert plots.category_bars(summary()) == plots.category_bars(summary())


def many_methods(num: int) -> Summary:
    """The summary with copies of npnet under other names, the last the best and dearest."""
    found = summary()
    network = found.methods["npnet"]
    scorers = network.scorers | {"verifier": replace(network.scorers["verifier"], overall=replace(GAIN, mean=0.9))}
    best = replace(network, evaluations_per_image=300.0, scorers=scorers)
    copies = {f"method {number}": replace(network, kind="other") for number in range(num - 3)}
    return replace(found, methods=found.methods | copies | {"best": best})


@pytest.mark.filterwarnings("error")
def test_figures_of_many_methods_stay_readable() -> None:
    found = many_methods(13)
    cost, bars = plots.quality_against_cost(found), plots.category_bars(found)
    assert all(f">{method}<" in cost for method in found.methods)
    tall, low = (float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[1]) for svg in (cost, bars))
    assert tall > low  # three rows of names against one
    assert plots.methods_by_kind(found) == ["standard", "npnet", "best"]
    assert ">method 0<" not in bars
    assert plots.methods_by_kind(many_methods(8)) == list(many_methods(8).methods)
    numbers = plots.method_numbers(found)
    assert [method for method, number in numbers.items() if number == 0] == ["standard"]
    assert max(list(numbers.values()).count(number) for number in range(plots.PALETTE)) == 2
    patterned = "url(#category-bars-h"  # best has the colour of a method before it, and so a pattern
    assert patterned in bars
    assert patterned not in plots.category_bars(many_methods(8))


def test_the_axis_of_a_training_curve_says_what_the_loss_is() -> None:
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "val_loss": [1.1, 0.7]})
    assert ">weighted squared error<" in plots.training_curve(history, None, "weighted squared error")


def test_the_page_escapes_prompts_and_keeps_ids_unique(tmp_path: Path) -> None:
    write_images(tmp_path)
    table = scores_table()
    table["prompt"] = '<script>alert("1")</script>'
    found = summary()
    figures = [
        Figure(title, svg, "description", "caption")
        for title, svg in (("Cost", plots.quality_against_cost(found)), ("Kinds", plots.category_bars(found)))
    ]
    html = render(
        PageContent(
            title="scores/test@v1",
            headline=headline(found),
            sentences=["Another & one."],
            results=result_table(found),
            kinds=category_table(found),
            checks=check_tables(found),
            figures=figures,
            rows=example_rows(table, found, 2, partial(image_file, tmp_path)),
            grid_note="A rule.",
            method_colours=plots.method_numbers(found),
            published=published_table(published_for("sdxl"), found, {}),
            made={"Command": "python -m goldennoise stage=eval"},
        )
    )
    assert "<script>alert" not in html
    assert html.count("<script") == 1  # that of sort.js
    assert "Another &amp; one." in html
    assert headline(found) in html
    assert "not measured here" in html
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
