import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from unit.generation import fakes
from unit.generation.fakes import ChoosingConfig, ModelConfig, Run, ScorerConfig, ShiftConfig
from unit.stages.test_report import resigned

from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.evaluation.statistics import MIN_CLUSTERS
from goldennoise.stages import eval as evaluation
from goldennoise.stages.compare import Config, run
from goldennoise.store.artifacts import Artifact

STAGE = evaluation.Config(num_prompts=MIN_CLUSTERS, num_seeds=2, num_bootstrap=200)
METHODS = {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=0.2)}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    fakes.install(monkeypatch)
    return Run(STAGE, str(tmp_path), METHODS, prompts=MIN_CLUSTERS)


def scores_of(base: Run, name: str, **changes: Any) -> Artifact:
    """Of a model that differs from others in its steps and guidance."""
    return evaluation.run(replace(base, name=name, **changes))


@pytest.fixture
def runs(base: Run) -> dict[str, Artifact]:
    models = {"a0": (2, 3.0), "a1": (2, 3.5), "c0": (3, 3.0), "c1": (3, 3.5)}
    return {
        name: scores_of(base, name, model=ModelConfig(path=name, num_steps=steps, guidance=guidance))
        for name, (steps, guidance) in models.items()
    }


def compared(base: Run, scores: Any, **options: Any) -> Artifact:
    stage = Config(scores=scores, **{"num_examples": 4, "num_bootstrap": 500, **options})
    return run(replace(base, stage=stage, name="compared", method={}, scorer={}))


def summary_of(artifact: Artifact) -> Any:
    return json.loads((artifact.path / "summary.json").read_text())


def values(scores: Artifact, method: str, scorer: str) -> Any:
    table = pd.read_parquet(scores.path / "scores.parquet")
    rows = table[(table["method"] == method) & (table["scorer"] == scorer)]
    return rows.sort_values(["prompt_id", "seed"])["score"].to_numpy()


def test_numbers_are_those_of_the_paired_scores(base: Run, runs: dict[str, Artifact]) -> None:
    artifact = compared(base, {"two": ["scores/a0@v1", "scores/a1@v1"], "three": ["c0", "c1"]})
    summary = summary_of(artifact)
    two, three = (
        np.stack([values(runs[name], "standard", "brightness") for name in names])
        for names in (["a0", "a1"], ["c0", "c1"])
    )
    found = summary["arms"]["three"]["scorers"]["brightness"]
    assert found["mean"] == pytest.approx(three.mean())
    assert found["difference"] == pytest.approx((three - two).mean())
    assert found["low"] < found["difference"] < found["high"]
    assert found["wins"] == pytest.approx((three < two).mean())  # of brightness less is better
    assert (found["num_prompts"], found["num_samples"]) == (6, 24)
    assert set(found["categories"]) == set(fakes.KINDS)
    assert summary["reference"] == "two"
    assert [summary["arms"][arm]["evaluations_per_image"] for arm in ("two", "three")] == [4, 6]
    assert summary["arms"]["two"]["runs"][1] == {
        "scores": "scores/a1@v1",
        "method": "standard",
        "model": {"name": "a1", "num_steps": 2, "guidance": 3.5},
    }


def test_methods_of_one_evaluation_are_compared_as_it_does_itself(base: Run, runs: dict[str, Artifact]) -> None:
    scores = {"plain": "a0", "shifted": "a0"}
    artifact = compared(base, scores, method={"shifted": "shifted"}, num_bootstrap=STAGE.num_bootstrap)
    own, found = summary_of(runs["a0"])["methods"], summary_of(artifact)["arms"]
    for arm, method in (("plain", "standard"), ("shifted", "shifted")):
        for scorer, expected in own[method]["scorers"].items():
            compared_ = found[arm]["scorers"][scorer]
            for name in set(expected) - {"categories"}:
                value = expected[name]
                assert compared_[name] == (None if value is None else pytest.approx(value, rel=1e-12, abs=1e-12))
            assert list(compared_["categories"]) == list(expected["categories"])


def test_the_protocol_names_every_sampler(base: Run, runs: dict[str, Artifact]) -> None:  # noqa: ARG001
    artifact = compared(base, {"two": ["a0", "a1"], "three": ["c0"]})
    told = summary_of(artifact)["protocol"]
    assert told["prompts"] == "6 of 6 prompts of a set of 6"
    models = [("a0", 2, "3"), ("a1", 2, "3.5"), ("c0", 3, "3")]
    assert told["sampler"] == ", or ".join(
        f"{name} by ddim, {steps} steps, guidance {scale}" for name, steps, scale in models
    )
    assert f"Protocol: {'; '.join(told.values())}." in (artifact.path / "tables.md").read_text()


def test_the_same_scores_differ_by_nothing(base: Run, runs: dict[str, Artifact]) -> None:  # noqa: ARG001
    for scores in ({"one": "a0", "other": "a0"}, {"one": ["a0", "a1"], "other": ["a0", "a1"]}):
        found = summary_of(compared(base, scores))["arms"]["other"]["scorers"]["brightness"]
        assert (found["difference"], found["low"], found["high"], found["ties"]) == (0, 0, 0, 1)


def test_the_page_stands_alone_and_names_every_model(
    base: Run, runs: dict[str, Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = compared(base, {"two": ["a0", "a1"], "three": ["c0", "c1"]}, reference="three", method="shifted")
    html = (artifact.path / "index.html").read_text()
    assert not re.findall(r"https?:|@import|<script |<link|\burl\((?!#)", html)
    assert "default-src 'none'" in html
    assert {uri[:22] for uri in re.findall(r'src="([^"]*)"', html)} == {"data:image/png;base64,"}
    assert (html.count("<svg"), html.count("<img")) == (2, 4 * 2)
    for heading in ("What is compared", "Results", "Quality against cost", "By kind of prompt", "Examples"):
        assert heading in html
    assert "Whether a gain is one" not in html
    assert all(f"{each.reference}, fingerprint {each.fingerprint[:16]}" in html for each in runs.values())
    assert "difference to three" in html
    assert "Rao and Wu 1988" in html
    printed = capsys.readouterr().out
    assert "two    a0, a1      2    3, 3.5  shifted     2\n" in printed
    assert "every method" not in printed + html
    assert str(artifact.path / "index.html") in printed
    markdown, latex = ((artifact.path / f"tables.{form}").read_text() for form in ("md", "tex"))
    assert "| three | c0, c1 | 3 | 3, 3.5 | shifted | 2 |" in markdown
    assert latex.count(r"\begin{table}") == markdown.count("###") == 4


def test_images_are_those_of_the_first_run_and_the_method(base: Run, runs: dict[str, Artifact]) -> None:
    artifact = compared(base, {"two": "a0", "three": "c0"}, method="shifted")
    for image in runs["c0"].path.glob("images/standard/*.png"):
        image.unlink()
    html = (artifact.path / "index.html").read_text()
    first, second = re.findall(r'src="([^"]*)"', html)[:2]
    assert first != second


def test_a_second_run_is_a_no_op(base: Run, runs: dict[str, Artifact], capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    scores = {"two": "a0", "three": "c0"}
    first = compared(base, scores)
    assert compared(base, scores, reference="two", method="standard").path == first.path
    assert "comparison/compared@v1 is complete: " in capsys.readouterr().out
    for number, options in enumerate(({"reference": "three"}, {"method": "shifted"}, {"num_bootstrap": 600}), start=2):
        assert compared(base, scores, **options).version == f"v{number}"
    assert compared(base, {"three": "c0", "two": "a0"}).version == "v5"


def test_a_scorer_that_chose_for_a_compared_method_is_selecting(base: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"standard": ShiftConfig(), "chosen": ChoosingConfig()}
    for name, steps in (("a", 2), ("c", 3)):
        scores_of(base, name, method=chosen, model=ModelConfig(num_steps=steps))
    artifact = compared(base, {"two": "a", "three": "c"}, method="chosen")
    assert summary_of(artifact)["scorers"]["brightness"]["role"] == "selecting"
    assert "Gains by the scorers that select" in (artifact.path / "index.html").read_text()
    monkeypatch.setattr("goldennoise.evaluation.arms.control_of", {"shift": "guidance"}.get)
    plain = compared(base, {"two": "a", "three": "c"}, method="standard")
    assert summary_of(plain)["scorers"]["brightness"]["role"] == "reporting"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"seed": 1}, r"\(seed=1, not 0\)"),
        ({"stage": replace(STAGE, num_prompts=5)}, r"\(stage\.num_prompts=5, not 6\)"),
        ({"stage": replace(STAGE, num_seeds=1), "seed": 3}, r"\(seed=3, not 0; stage\.num_seeds=1, not 2\)"),
        ({"scorer": {"reddish": ScorerConfig("reddish")}}, r"\(no scorer brightness\)"),
        (
            {"scorer": {"brightness": ScorerConfig("reddish"), "reddish": ScorerConfig("reddish")}},
            r"\(scorer\.brightness\.kind=reddish, not brightness; scorer\.brightness\.version=2, not 1\)",
        ),
    ],
)
def test_what_cannot_be_paired_is_refused_with_what_differs(base: Run, change: dict[str, Any], expected: str) -> None:
    scores_of(base, "a")
    scores_of(base, "c", **change)
    with pytest.raises(ArtifactError, match=rf"^scores/c@v1 cannot be paired with scores/a@v1 {expected}"):
        compared(base, {"two": "a", "three": "c"})
    assert not list(Path(base.outputs, "comparison").glob("*/v*"))


def test_other_prompts_of_the_same_number_are_refused(base: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    scores_of(base, "a")
    monkeypatch.setattr("goldennoise.stages.eval.load_prompts", lambda *_: fakes.prompts(6)[::-1])
    scores_of(base, "c")
    with pytest.raises(ArtifactError, match=r"\(other prompts, in another order or with other rows\)"):
        compared(base, {"two": "a", "three": "c"})


def test_scores_that_cannot_be_used_are_refused(base: Run, runs: dict[str, Artifact]) -> None:
    both = {"two": "a0", "three": "c0"}
    with pytest.raises(
        ConfigError, match=r"^stage\.method=tone: scores/a0@v1 has no such method; .* standard, shifted"
    ):
        compared(base, both, method="tone")
    with pytest.raises(ConfigError, match=r"^stage\.scores\.two: scores/a0@v1 stands here twice"):
        compared(base, {"two": ["a0", "a0"], "three": "c0"})
    with pytest.raises(ArtifactError, match="no scores artifact called nothing"):
        compared(base, both | {"none": "nothing"})
    resigned(runs["c0"], "scores.parquet", lambda file: pd.read_parquet(file).iloc[1:].to_parquet(file))
    with pytest.raises(
        ArtifactError, match=r"scores\.parquet lacks the score of standard by brightness for .* with seed 0"
    ):
        compared(base, both)
    (runs["c0"].path / "summary.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"summary\.json is damaged: .* run the eval command again"):
        compared(base, both)
    assert not list(Path(base.outputs, "comparison").glob("*/v*"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scores": {"one": "a"}}, "^scores=.*at least two arms"),
        ({"scores": {"one": "a", "two": []}}, "^scores="),
        ({"scores": {"one": "a", "two": 3}}, "^scores="),
        ({"scores": {"one": "a", "t w o": "b"}}, "^scores="),
        ({"reference": "three"}, "^reference=three: reference must be null or one of one, two"),
        ({"method": ["a"]}, r"^method=\['a'\]: method must be null, the name of a method, or"),
        ({"method": {"three": "a"}}, "^method="),
        ({"num_bootstrap": 10}, "^num_bootstrap="),
        ({"num_examples": 0}, "^num_examples="),
    ],
)
def test_options_out_of_range(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Config(**{"scores": {"one": "a", "two": "b"}, **options})
