import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from unit.generation import fakes
from unit.generation.fakes import ModelConfig, Run, ScorerConfig, ShiftConfig

from goldennoise.errors import ConfigError, DataError, ScorerError
from goldennoise.generation import predictions as parts_module
from goldennoise.stages import eval as evaluation
from goldennoise.stages.predict import Config, run
from goldennoise.store.artifacts import Artifact

PROMPTS, SEEDS, SAME = 6, 3, 2
ALL = ["preview", "features", "critic", "difficulty"]


def stage(**changes: Any) -> Config:
    settings: dict[str, Any] = {"predictors": ALL, "preview_steps": [1, 2], "selecting_scorer": "brightness"}
    settings |= {"num_prompts": PROMPTS, "num_seeds": SEEDS, "num_learnt_prompts": 4, "num_learnt_seeds": 2}
    return Config(**(settings | {"num_same_seeds": SAME, "num_bootstrap": 100, "images_per_part": 5} | changes))


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    models = fakes.install(monkeypatch)
    monkeypatch.setattr("goldennoise.stages.predict.load_prompts", fakes.prompts)
    return models


@pytest.fixture
def base(tmp_path: Path, models: list[Any]) -> Run:  # noqa: ARG001
    return Run(stage(), str(tmp_path), {}, prompts=PROMPTS + 4)


def table(artifact: Artifact, name: str) -> pd.DataFrame:
    return pd.read_parquet(artifact.path / f"{name}.parquet")


def values(artifact: Artifact, predictor: str) -> pd.Series:
    rows = table(artifact, "predictions")
    return rows[rows["predictor"] == predictor].set_index(["prompt_id", "seed"])["value"]


def scores(artifact: Artifact, scorer: str) -> pd.Series:
    rows = table(artifact, "scores")
    return rows[rows["scorer"] == scorer].set_index(["prompt_id", "seed"])["score"]


def judged_by(artifact: Artifact, scorer: str) -> Any:
    found = json.loads((artifact.path / "summary.json").read_text())
    return next(one for one in found if one["scorer"] == scorer)


def test_scores_are_those_of_the_source_noise_in_eval_and_difficulty_those_of_further_seeds(base: Run) -> None:
    artifact = run(base)
    images = evaluation.Config(num_prompts=PROMPTS, num_seeds=SEEDS + SAME, num_bootstrap=100)
    expected = evaluation.run(replace(base, stage=images, method={"standard": ShiftConfig()}))
    for scorer, sign in (("brightness", -1), ("reddish", 1)):  # of brightness less is better
        both = sign * scores(expected, scorer)
        judged, further = (both[both.index.get_level_values(1).isin(seeds)] for seeds in ([0, 1, 2], [3, 4]))
        pd.testing.assert_series_equal(scores(artifact, scorer), judged, rtol=1e-6)
        means = further.groupby(level=0).mean()
        found = values(artifact, f"difficulty_{scorer}")
        assert len(found) == PROMPTS * SEEDS
        for (prompt_id, _), value in found.items():  # type: ignore[misc]
            assert value == pytest.approx(means[prompt_id])


def test_a_predictor_that_knows_the_prompt_alone_is_exposed(base: Run) -> None:
    artifact = run(base)
    judge = judged_by(artifact, "brightness")
    assert judge["selects"]
    found = judge["verdicts"]["difficulty_brightness"]
    assert (found["num_within"], found["within_spearman"]["value"]) == (0, None)
    assert found["regret"] == found["chance_regret"]
    assert found["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["chance_regret"]["value"] > 0


def test_the_last_preview_is_the_image_and_costs_as_much(base: Run) -> None:
    artifact = run(base)
    # Previews are scored before they are rounded to 8 bits.
    np.testing.assert_allclose(values(artifact, "preview_2"), scores(artifact, "brightness"), atol=3e-3)
    assert not np.allclose(values(artifact, "preview_1"), scores(artifact, "brightness"), atol=3e-3)
    costs = judged_by(artifact, "reddish")["num_evaluations"]
    guided = 2
    assert costs["preview_1"] == costs["features"] == guided
    assert costs["preview_2"] == 2 * guided
    assert costs["critic"] == costs["difficulty_reddish"] == 0
    found = judged_by(artifact, "reddish")["verdicts"]["preview_1"]
    assert found["num_equal_cost"] == 1 + SEEDS * 1 / 2
    assert judged_by(artifact, "brightness")["verdicts"]["preview_1"]["gain_at_equal_cost"] is None


def test_results_do_not_depend_on_batches_and_parts(base: Run) -> None:
    compute = replace(base.compute, batch_size=3)
    first, second = run(base), run(replace(base, name="other", compute=compute, stage=stage(images_per_part=7)))
    assert first.fingerprint == second.fingerprint
    for name, column in (("predictions", "value"), ("scores", "score")):
        a, b = table(first, name), table(second, name)
        pd.testing.assert_frame_equal(a.drop(columns=column), b.drop(columns=column))
        # A score of 1 in 255 more or less is a pixel that was rounded otherwise.
        np.testing.assert_allclose(a[column], b[column], rtol=1e-3, atol=1e-4)


def test_a_killed_run_goes_on_after_its_last_part(
    base: Run, models: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch, calls = parts_module.Watch.__call__, [0]

    def killed(self: Any, samples: Any) -> Any:
        calls[0] += 1
        if calls[0] == 5:
            raise KeyboardInterrupt
        return watch(self, samples)

    monkeypatch.setattr(parts_module.Watch, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        run(base)
    (draft,) = Path(base.outputs, "prediction", "test").glob("*.partial")
    finished = {file: file.stat().st_mtime_ns for file in sorted((draft / "parts").iterdir())}
    assert len(finished) == 2  # of 5 images in batches of 4, hence two calls each
    damaged = next(iter(finished))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    monkeypatch.setattr(parts_module.Watch, "__call__", watch)
    artifact = run(base)
    kept = artifact.path / "parts" / sorted(finished)[1].name
    assert kept.stat().st_mtime_ns == finished[sorted(finished)[1]]
    whole_run = run(replace(base, name="whole"))
    pd.testing.assert_frame_equal(table(artifact, "predictions"), table(whole_run, "predictions"))
    num = len(models)
    assert run(base).path == artifact.path
    assert "prediction/test@v1 is complete: " in capsys.readouterr().out
    assert len(models) == num


def test_only_the_samples_that_are_read_are_made(base: Run) -> None:
    few = run(replace(base, stage=stage(predictors=["preview"]), prompts=PROMPTS))
    assert few.record["counts"]["images"] == PROMPTS * SEEDS
    more = run(replace(base, stage=stage(predictors=["critic"])))
    assert more.record["counts"]["images"] == PROMPTS * SEEDS + 4 * 2


def given(base: Run, rows: pd.DataFrame, name: str = "mine.csv") -> Path:
    file = Path(base.outputs).parent / name
    rows.to_csv(file, index=False)
    return file


def test_values_of_ones_own_are_judged_beside_the_others(base: Run) -> None:
    first = run(replace(base, stage=stage(predictors=["preview"]), prompts=PROMPTS))
    rows = scores(first, "brightness").rename("value").reset_index().assign(evaluations=4)
    shuffled = pd.concat([rows, rows.assign(seed=rows["seed"] + 100)]).sample(frac=1, random_state=0)
    table_file = given(base, shuffled)
    both = stage(predictors=["preview"], table=str(table_file))
    artifact = run(replace(base, stage=both, prompts=PROMPTS))
    verdict = judged_by(artifact, "brightness")["verdicts"]["mine"]
    assert verdict["within_spearman"]["value"] == pytest.approx(1)
    assert verdict["regret"]["value"] == 0
    assert judged_by(artifact, "brightness")["num_evaluations"]["mine"] == 4
    moved = given(base, shuffled, "moved.csv")
    again = run(replace(base, stage=replace(both, table=str(moved)), prompts=PROMPTS))
    assert again.path == artifact.path
    given(base, shuffled.assign(value=0.0))
    assert run(replace(base, stage=both, prompts=PROMPTS)).version == "v3"
    alone = run(replace(base, stage=stage(predictors=[], table=str(table_file)), prompts=PROMPTS))
    assert list(judged_by(alone, "reddish")["verdicts"]) == ["mine"]


MISTAKES = [
    (
        {"selecting_scorer": "pick"},
        ConfigError,
        r"^stage.selecting_scorer=pick: .* \(brightness, reddish\), which",
    ),
    ({"selecting_scorer": "reddish"}, ConfigError, r"^stage.selecting_scorer=reddish: reddish only reports"),
    ({"preview_steps": [1, 3]}, ConfigError, r"^stage.preview_steps=\[1, 3\]: the model samples in 2 steps, and 3 are"),
    ({"preview_steps": []}, ConfigError, r"^stage.preview_steps=\[\]: the predictor preview needs one"),
    (
        {"num_prompts": 9},
        ConfigError,
        r"^stage.num_prompts=9: with .*_prompts=4 the run needs 13 .* has 10",
    ),
    ({"table": "gone.csv"}, DataError, r"^stage.table=gone.csv: no such file"),
    ({"table": "README.md"}, DataError, r"^stage.table=README.md: a table of predictions ends in .csv or .parquet"),
]


@pytest.mark.parametrize(("changes", "error", "message"), MISTAKES)
def test_a_mistake_is_one_sentence_before_there_is_a_draft(
    base: Run, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(replace(base, stage=stage(**changes)))
    assert not list(Path(base.outputs, "prediction").glob("*/v*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictors": ["previw"]}, r"^predictors=\['previw'\].* some of critic, difficulty, features, preview"),
        ({"predictors": ["critic", "critic"]}, r"^predictors="),
        ({"predictors": []}, r"^predictors=\[\]: predictors must be one predictor at least where there is no table"),
        ({"preview_steps": [0]}, r"^preview_steps=\[0\]: preview_steps must be a list of whole numbers, at least 1"),
        ({"num_seeds": 1}, r"^num_seeds=1: num_seeds must be at least 2"),
    ],
)
def test_an_option_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stage(**changes)


def test_a_description_is_no_judge(base: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes.Reddish, "higher_is_better", None)
    with pytest.raises(ConfigError, match=r"^scorer.reddish: neither end of reddish is better"):
        run(base)


def test_a_score_that_is_no_number_names_the_sample(base: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    score = fakes.Reddish.score
    monkeypatch.setattr(fakes.Reddish, "score", lambda self, *given: score(self, *given) * float("nan"))
    with pytest.raises(ScorerError, match=r'scorer reddish gives nan for "prompt number 0" with seed 0'):
        run(base)


def test_the_page_and_the_tables_say_who_chooses(base: Run, capsys: pytest.CaptureFixture[str]) -> None:
    model = ModelConfig(num_steps=3)
    scorer = {name: ScorerConfig(name) for name in fakes.SCORERS}
    artifact = run(replace(base, model=model, scorer=scorer, stage=stage(preview_steps=[1, 2, 3])))
    printed = capsys.readouterr().out
    page, markdown, latex = ((artifact.path / name).read_text() for name in ("index.html", "tables.md", "tables.tex"))
    for text in (printed, page, markdown):
        assert "by reddish" in text
        assert "it selects, so it is no evidence" in text
    assert r"difficulty\_brightness" in latex
    assert printed.index("by reddish") < printed.index("by brightness")
    assert "of 7 predictors choose better than chance" in page
    assert "prediction/test@v1" in page
    assert "<svg" in page
    assert "None" not in page
