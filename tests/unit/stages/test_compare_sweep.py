"""Stage compare on every evaluation that a text with wildcards means."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from unit.generation.fakes import ModelConfig, Run
from unit.stages.test_compare import STAGE, base, compared, scores_of, summary_of
from unit.stages.test_report import resigned

from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.evaluation.sweep import arm_names, differing, shown
from goldennoise.stages.compare import Config
from goldennoise.store.artifacts import Artifact

__all__ = ["base"]

NAMES = ["2/3", "2/4", "3/3"]


@pytest.fixture
def sweep(base: Run) -> list[Artifact]:
    settings = ((2, 3.0), (2, 4.0), (3, 3.0))
    models = [ModelConfig(num_steps=steps, guidance=guidance) for steps, guidance in settings]
    return [scores_of(base, "sweep", model=model) for model in models]


@pytest.mark.usefixtures("sweep")
def test_every_evaluation_is_an_arm_named_by_what_differs(base: Run) -> None:
    artifact = compared(base, "scores/sweep@*")
    summary = summary_of(artifact)
    assert list(summary["arms"]) == NAMES
    assert summary["reference"] == NAMES[0]
    assert [arm["runs"][0]["scores"] for arm in summary["arms"].values()] == [f"scores/sweep@v{n}" for n in (1, 2, 3)]
    other = compared(base, "scores/sweep@v[23]", method="shifted")
    assert list(summary_of(other)["arms"]) == NAMES[1:]
    assert [record["reference"] for record in other.record["inputs"]] == ["scores/sweep@v2", "scores/sweep@v3"]


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize("reference", [NAMES[2], "scores/sweep@v3"])
def test_the_reference_is_named_as_an_arm_or_as_an_evaluation(base: Run, reference: str) -> None:
    assert summary_of(compared(base, "scores/sweep@*", reference=reference))["reference"] == NAMES[2]


@pytest.mark.usefixtures("sweep")
def test_the_page_draws_a_line_through_the_options_of_every_arm(base: Run) -> None:
    html = (compared(base, "scores/sweep@*").path / "index.html").read_text()
    (figure,) = re.findall(r'<h2 id="figure-3">Options, cost and quality</h2>.*?</section>', html, re.DOTALL)
    for told in (">num_steps<", ">guidance<", ">model evaluations<", ">brightness, grey<", ">2<", ">3<", ">4<", ">6<"):
        assert told in figure, told
    assert figure.count('id="parallel-coordinates-line2d_') >= 3
    assert "; 2/3 alone is the Pareto front by these means" in html
    assert "Options that differ: model.num_steps, model.guidance." in html
    two = (compared(base, {"one": "sweep@v1", "other": "sweep@v3"}).path / "index.html").read_text()
    assert "Options, cost and quality" not in two


def test_what_differs_has_one_value_in_all_runs_of_an_arm() -> None:
    one, other = {"a": 1, "b": 1, "c": 1, "e": 0}, {"a": 2, "b": 1, "c": 2, "d": 2, "e": 0}
    assert differing({"x": [one, {**one, "e": 3}], "y": [other, other]}) == {
        "a": {"x": 1, "y": 2},
        "c": {"x": 1, "y": 2},
    }
    assert differing({"x": [one, {**one, "a": 3}], "y": [other]}) == {"c": {"x": 1, "y": 2}}


def test_arms_that_no_option_tells_apart_are_called_by_their_evaluations() -> None:
    def scores(name: str, **model: Any) -> Artifact:
        return Artifact("scores", name, "v1", Path(), {"config": {"model": model, "method": {"m": {"guidance": 1}}}})

    three = [scores("a", path="x/y", tone=None), scores("b", path="x/y", tone=None), scores("c", path="x/z", tone=None)]
    assert arm_names(three, ["m"] * 3) == ["y scores/a@v1", "y scores/b@v1", "z"]
    assert arm_names(three[:2], ["m"] * 2) == ["scores/a@v1", "scores/b@v1"]
    nested = [scores("a", guidance=1, unet={"depth": 2}), scores("b", guidance=2, unet={"depth": 3})]
    assert arm_names(nested, ["m"] * 2) == ["1/2", "2/3"]
    assert [shown(value) for value in (None, True, "a/b", "", 2.50)] == ["null", "True", "b", "", "2.5"]


@pytest.mark.usefixtures("sweep")
def test_a_sweep_that_cannot_be_compared_is_refused(base: Run, sweep: list[Artifact]) -> None:
    with pytest.raises(ConfigError, match=r"^stage\.scores=scores/sweep@v1\*: it means scores/sweep@v1 alone"):
        compared(base, "scores/sweep@v1*")
    with pytest.raises(ArtifactError, match=r"no scores artifact in .* is called scores/other\*: there are sweep"):
        compared(base, "scores/other*")
    known = re.escape(f"null or one of scores/sweep@v1 ({NAMES[0]}); scores/sweep@v2")
    with pytest.raises(ConfigError, match=rf"^stage\.reference=first: reference must be {known}"):
        compared(base, "scores/sweep@*", reference="first")
    with pytest.raises(ConfigError, match=r"^method=\{'a': 'b'\}: method must be null or the name of a method"):
        Config(scores="scores/sweep@*", method={"a": "b"})
    with pytest.raises(ConfigError, match=r"^scores=scores/sweep: scores must be .* or a text with a wildcard"):
        Config(scores="scores/sweep")
    scores_of(base, "sweep", stage=replace(STAGE, num_seeds=1))
    with pytest.raises(
        ArtifactError, match=r"^scores/sweep@v4 cannot be paired with scores/sweep@v1 .*num_seeds=1, not 2"
    ):
        compared(base, "scores/sweep@*")
    resigned(sweep[1], "scores.parquet", lambda file: pd.read_parquet(file).iloc[:-1].to_parquet(file))
    with pytest.raises(ArtifactError, match=r"sweep/v2/scores\.parquet lacks the score of shifted by reddish for"):
        compared(base, "scores/sweep@v[12]")
