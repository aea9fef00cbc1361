import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import as_prompts
from unit.generation.fakes import Brightness

from goldennoise.errors import ArtifactError
from goldennoise.evaluation.diversity import distance, vendi
from goldennoise.evaluation.statistics import clustered_intervals
from goldennoise.evaluation.summary import Design, ScorerInfo, Summary, method_results, read_summary, scorer_info
from goldennoise.generation.noise import STATISTICS
from goldennoise.runtime.seeding import derive_seed
from goldennoise.scorers.shapes_clip import ShapesClip


def parts_table(num_prompts: int = 6, num_seeds: int = 2) -> pd.DataFrame:
    random, rows = np.random.default_rng(0), []
    for method, shift in (("standard", 0.0), ("other", 0.5)):
        for prompt in range(num_prompts):
            for seed in range(num_seeds):
                score = random.normal() + shift
                rows.append(
                    (f"id{prompt}", "text", "ab"[prompt % 2], seed, method, 40.0 + 10 * shift, 0.5, 2**20, score)
                )
    columns = ["prompt_id", "prompt", "category", "seed", "method", "num_evaluations", "seconds"]
    table = pd.DataFrame(rows, columns=[*columns, "peak_memory_bytes", "score_taste"])
    for statistic in STATISTICS:
        table[f"noise_{statistic}"] = random.normal(size=len(table))
    features = {column: list(random.normal(size=(len(table), 5))) for column in ("thumbnail", "embedding")}
    return table.assign(**features)


def summary_of(table: pd.DataFrame, embedder: str | None = "taste") -> Summary:
    kinds = {"standard": "standard", "other": "npnet"}
    methods = method_results(table, {"taste": True}, embedder, Design(kinds, "standard", 500, 3))
    info = ScorerInfo(True, "points", "1", "reporting", 1.0)
    return Summary(
        "standard", {"name": "m", "num_steps": 2, "guidance": 3.0}, 6, 2, 500, "memory", {"taste": info}, methods
    )


def test_numbers_equal_those_computed_by_hand() -> None:
    table = parts_table()
    scores = {method: rows["score_taste"].to_numpy() for method, rows in table.groupby("method")}
    difference = scores["other"] - scores["standard"]
    ids = table[table["method"] == "other"]["prompt_id"]
    found = summary_of(table).methods["other"]
    overall = found.scorers["taste"].overall
    assert overall.mean == pytest.approx(scores["other"].mean())
    assert overall.difference == pytest.approx(difference.mean())
    assert overall.wins == pytest.approx((difference > 0).mean())
    seed = derive_seed(3, "bootstrap/taste", "")
    (interval,) = clustered_intervals(difference[:, None], ids, 500, seed)
    assert (overall.low, overall.high) == pytest.approx(interval)
    of_kind = (table[table["method"] == "other"]["category"] == "b").to_numpy()
    category = found.scorers["taste"].categories["b"]
    assert category.difference == pytest.approx(difference[of_kind].mean())
    assert (category.num_prompts, category.num_samples) == (3, 6)
    assert (found.evaluations_per_image, found.seconds_per_image, found.peak_memory_bytes) == (45.0, 0.5, 2**20)


def test_noise_and_diversity_equal_those_computed_by_hand() -> None:
    table = parts_table()
    found = summary_of(table).methods["other"]
    rows = table[table["method"] == "other"]
    norms = rows["noise_norm"].to_numpy()
    spread = found.noise["norm"]
    assert spread.mean == pytest.approx(norms.mean())
    assert (spread.low, spread.high) == pytest.approx(np.quantile(norms, [0.025, 0.975]))
    assert list(found.diversity) == ["thumbnails", "taste"]
    for column, diversity in zip(("thumbnail", "embedding"), found.diversity.values(), strict=True):
        of_prompts = [np.stack(group[column].to_list()) for _, group in rows.groupby("prompt_id")]
        assert diversity.distance.mean == pytest.approx(np.mean([distance(features) for features in of_prompts]))
        assert diversity.vendi.mean == pytest.approx(np.mean([vendi(features) for features in of_prompts]))
        assert diversity.vendi.num_prompts == 6
    without = summary_of(table.drop(columns="embedding"), embedder=None)
    assert list(without.methods["other"].diversity) == ["thumbnails"]
    assert summary_of(table[table["seed"] == 0]).methods["other"].diversity == {}


def test_methods_are_held_against_the_best_of_the_controls() -> None:
    table = parts_table()
    random = np.random.default_rng(1)
    standard = table[table["method"] == "standard"]
    weak, strong = (
        standard.assign(method=name, score_taste=standard["score_taste"] + shift + 0.1 * random.normal(size=12))
        for name, shift in (("weak", -0.5), ("strong", 0.3))
    )
    kinds = {"standard": "standard", "other": "npnet", "weak": "standard", "strong": "standard"}
    design = Design(kinds, "standard", 500, 3)
    results = method_results(pd.concat([table, weak, strong]), {"taste": True}, "taste", design)
    trailing = standard.assign(method="trailing", score_taste=standard["score_taste"] + 9)
    among = method_results(
        pd.concat([table, weak, strong, trailing]),
        {"taste": True},
        "taste",
        replace(design, kinds=kinds | {"trailing": "fixed_schedule"}),
    )
    assert among["trailing"].matched == {}, "a schedule control is neither held against guidance nor taken for it"
    assert among["other"].matched == results["other"].matched
    toned = method_results(
        pd.concat([table, weak, strong, trailing]),
        {"taste": True},
        "taste",
        replace(design, kinds=kinds | {"trailing": "tone"}),
    )
    assert toned["trailing"].matched == {}
    assert toned["other"].matched["taste"].method == "trailing"
    assert {name for name, result in results.items() if result.matched} == {"other"}
    found = results["other"].matched["taste"]
    assert found.method == "strong"
    other = table[table["method"] == "other"]["score_taste"].to_numpy()
    assert found.comparison.difference == pytest.approx((other - strong["score_taste"].to_numpy()).mean())
    assert found.comparison.low is not None
    lower = method_results(pd.concat([table, weak, strong]), {"taste": False}, "taste", design)
    assert lower["other"].matched["taste"].method == "weak"
    described = method_results(pd.concat([table, weak, strong]), {"taste": None}, "taste", design)
    assert described["other"].matched == {}, "of a description no control is the best"
    assert summary_of(table).methods["other"].matched == {}


def test_order_of_rows_changes_nothing() -> None:
    table = parts_table()
    assert summary_of(table.sample(frac=1, random_state=0)).methods == summary_of(table).methods


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    summary = summary_of(parts_table())
    summary.write(tmp_path / "summary.json")
    assert read_summary(tmp_path / "summary.json") == summary
    told = replace(summary, protocol={"prompts": "2 of 3 prompts of own.txt"})
    told.write(tmp_path / "summary.json")
    assert read_summary(tmp_path / "summary.json") == told


def test_a_summary_of_a_release_without_a_protocol_is_read(tmp_path: Path) -> None:
    content = summary_of(parts_table()).as_json()
    del content["protocol"]
    (tmp_path / "summary.json").write_text(json.dumps(content))
    assert read_summary(tmp_path / "summary.json").protocol == {}


@pytest.mark.parametrize(
    ("keys", "value", "lacking"),
    [
        ([], {}, "methods"),
        ([], [1], "it holds no record"),
        (["methods"], {}, "method standard"),
        (["methods", "other"], 3, "a mapping"),
        (["methods", "other", "noise"], {}, "noise.norm of other"),
        (["methods", "other", "scorers"], {}, "scorer taste of other"),
        (["methods", "other", "scorers", "taste"], {}, "mean"),
        (["methods", "other", "scorers", "taste", "mean"], "much", "methods.other.scorers.taste.overall.mean"),
        (["scorers"], {}, "scorers"),
        (["scorers", "taste", "role"], "judging", "scorers.taste.role"),
        (["model"], {}, "model.name"),
        (["num_prompts"], None, "num_prompts"),
    ],
)
def test_other_content_is_no_summary(tmp_path: Path, keys: list[str], value: object, lacking: str) -> None:
    file = tmp_path / "summary.json"
    summary_of(parts_table()).write(file)
    content = json.loads(file.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    if keys:
        place[keys[-1]] = value
    file.write_text(json.dumps(content if keys else value))
    with pytest.raises(ArtifactError, match=f"summary.json is (no summary|damaged): {lacking}"):
        read_summary(file)


def test_memory_that_was_not_measured_is_not_zero() -> None:
    table = parts_table().assign(peak_memory_bytes=pd.array([pd.NA] * 24, dtype="Int64"))
    assert summary_of(table).methods["other"].peak_memory_bytes is None


def test_a_summary_without_p_values_is_read(tmp_path: Path) -> None:
    """As evaluations were written before there was a test."""
    file = tmp_path / "summary.json"
    summary_of(parts_table()).write(file)
    content = json.loads(file.read_text())
    found = content["methods"]["other"]["scorers"]["taste"]
    for part in (found, *found["categories"].values()):
        del part["p_value"], part["standard_error"]
    file.write_text(json.dumps(content))
    result = read_summary(file).methods["other"].scorers["taste"]
    for comparison in (result.overall, *result.categories.values()):
        assert (comparison.p_value, comparison.standard_error) == (None, None)


def test_a_summary_of_an_earlier_release_says_less_of_a_scorer(tmp_path: Path) -> None:
    info = ScorerInfo(True, "points", "1", "reporting", 1.0, (-2.0, 2.0), 77, 3)
    summary = replace(summary_of(parts_table()), scorers={"taste": info})
    summary.write(tmp_path / "summary.json")
    assert read_summary(tmp_path / "summary.json") == summary
    content = json.loads((tmp_path / "summary.json").read_text())
    for field in ("usual", "num_tokens", "prompts_cut"):
        del content["scorers"]["taste"][field]
    (tmp_path / "summary.json").write_text(json.dumps(content))
    assert read_summary(tmp_path / "summary.json").scorers["taste"] == ScorerInfo(True, "points", "1", "reporting", 1.0)


def test_what_a_scorer_does_not_say_is_none() -> None:
    reference, prompts = pd.DataFrame({"score_one": [0.0, 0.2]}), as_prompts(["a red circle", "red " * 30])
    plain = scorer_info(Brightness(), "one", set(), reference, prompts)
    assert plain == ScorerInfo(False, "grey", "1", "reporting", 0.1)
    clip = scorer_info(ShapesClip(torch.device("cpu")), "one", set(), reference, prompts)
    assert (clip.usual, clip.num_tokens, clip.prompts_cut) == ((60.0, 90.0), 16, 1)
