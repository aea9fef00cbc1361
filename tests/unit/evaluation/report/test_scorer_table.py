"""The table of what the scores mean."""

from dataclasses import replace

from unit.evaluation.report.summaries import summary

from goldennoise.evaluation.report.scorers import scorer_table
from goldennoise.evaluation.report.tables import to_text


def test_every_scorer_has_unit_direction_range_and_deviation() -> None:
    found = summary()
    scorers = {
        "clip": replace(found.scorers["clip"], usual=(-2.0, 2.5), higher_is_better=False, num_tokens=77, prompts_cut=3),
        "verifier": replace(found.scorers["verifier"], usual=(0.0, 1.0)),
        "plain": replace(found.scorers["clip"], num_tokens=35, prompts_cut=0, higher_is_better=None),
    }
    methods = {
        name: replace(method, scorers=method.scorers | {"plain": method.scorers["clip"]})
        for name, method in found.methods.items()
    }
    table = scorer_table(replace(found, scorers=scorers, methods=methods))
    assert [[cell.value for cell in row] for row in table.sections[0].rows] == [
        ["verifier", "% right", "higher is better", "0 to 100", "49.0"],
        ["clip", "cosine", "lower is better", "−2 to 2.5", "2.00"],
        ["plain", "cosine", "neither end is better", "–", "2.00"],
    ]
    assert "measured here, of the scores of all images of standard" in to_text(table)
    assert list(table.footnotes[1:]) == [
        "clip reads the first 77 tokens of a prompt: 3 of 100 prompts were cut.",
        "plain reads the first 35 tokens of a prompt: 0 of 100 prompts were cut.",
    ]
