from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import TinyModel
from unit.methods.searching import Greenness, make_batch

from goldennoise.errors import ConfigError
from goldennoise.generation import predictors
from goldennoise.generation.predictors.base import JUDGED, LEARNT, ROLE, SELECTED, Seen
from goldennoise.generation.predictors.ridge import (
    PENALTIES,
    chosen_penalty,
    kernels,
    left_out_error,
    predicted_scores,
)
from goldennoise.methods.search.selector import Selector

GROUPS = ["a", "a", "a", "b", "b", "c", "d", "d", "d", "d"]


def ridge(inputs: Any, scores: Any, penalty: float) -> tuple[Any, float]:
    """Weights and the constant, which no penalty holds back, by least squares on rows that stand for the penalty."""
    num, width = inputs.shape
    rows = np.block([[inputs, np.ones((num, 1))], [penalty**0.5 * np.eye(width), np.zeros((width, 1))]])
    solved = np.linalg.lstsq(rows, np.concatenate([scores, np.zeros(width)]), rcond=None)[0]
    return solved[:-1], float(solved[-1])


def centred(num: int, width: int) -> Any:
    inputs = np.random.default_rng(0).normal(size=(num, width))
    return inputs - inputs.mean(axis=0)


@pytest.mark.parametrize("width", [3, 25])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_the_error_without_a_prompt_is_that_of_a_regression_without_it(width: int, penalty: float) -> None:
    inputs, scores = centred(10, width), np.random.default_rng(1).normal(size=10) + 3
    errors = []
    for group in "abcd":
        out = np.array(GROUPS) == group
        weights, constant = ridge(inputs[~out], scores[~out], penalty)
        errors += list((scores[out] - inputs[out] @ weights - constant) ** 2)
    assert left_out_error(inputs @ inputs.T, scores, GROUPS, penalty) == pytest.approx(np.mean(errors))


def test_the_penalty_is_small_for_what_is_linear_and_large_for_noise() -> None:
    inputs = centred(40, 3)
    random, groups = np.random.default_rng(2), [str(row // 4) for row in range(40)]
    scale = np.trace(inputs @ inputs.T) / 40
    assert chosen_penalty(inputs @ inputs.T, inputs @ [1.0, 2.0, 3.0], groups) == pytest.approx(PENALTIES[0] * scale)
    assert chosen_penalty(inputs @ inputs.T, random.normal(size=40), groups) >= 10 * scale


def samples(learnt: Any, judged: Any, scores: Any) -> pd.DataFrame:
    roles = [JUDGED] * len(judged) + [LEARNT] * len(learnt)
    return pd.DataFrame(
        {
            ROLE: roles,
            "prompt_id": ["judged"] * len(judged) + [str(row // 4) for row in range(len(learnt))],
            "vector": [*map(list, judged), *map(list, learnt)],
            SELECTED: [0.0] * len(judged) + list(scores),
        }
    )


def test_predictions_are_those_of_the_regression_on_standardised_numbers() -> None:
    random = np.random.default_rng(3)
    learnt, judged = random.normal(5, 3, size=(24, 7)), random.normal(5, 3, size=(6, 7))
    learnt[:, 6] = judged[:, 6] = 4.0  # never differs
    scores = learnt @ random.normal(size=7) + random.normal(size=24)
    table = samples(learnt, judged, scores)
    inner = kernels(table, "vector")
    spread = np.where(learnt.std(axis=0) > 0, learnt.std(axis=0), 1)
    standard, others = ((each - learnt.mean(axis=0)) / spread / 7**0.5 for each in (learnt, judged))
    penalty = chosen_penalty(standard @ standard.T, scores, table.loc[table[ROLE] == LEARNT, "prompt_id"].tolist())
    weights, constant = ridge(standard, scores, penalty)
    np.testing.assert_allclose(predicted_scores(table, *inner), others @ weights + constant, rtol=1e-8)


def test_the_critic_learns_products_of_noise_and_text() -> None:
    """What the noise is worth turns with the prompt: no sum of the two knows it."""
    random = np.random.default_rng(4)
    texts = random.choice([-1.0, 1.0], size=(60, 1))
    noise = random.normal(size=(240, 2))
    text = np.concatenate([np.repeat(texts[:50], 4, axis=0), np.repeat(texts[50:], 4, axis=0)])
    scores = noise[:, 0] * text[:, 0]
    roles, prompts = [LEARNT] * 200 + [JUDGED] * 40, [str(row // 4) for row in range(240)]
    table = pd.DataFrame({ROLE: roles, "prompt_id": prompts, "noise": noise.tolist(), "text": text.tolist()})
    table[SELECTED] = scores
    (found,) = predictors.component("critic").build(None).predicted(table).values()
    assert np.corrcoef(found.values, scores[200:])[0, 1] > 0.95
    assert found.num_evaluations == 0


@torch.no_grad()
def test_what_is_measured_belongs_to_its_sample() -> None:
    model, batch = TinyModel(), make_batch()
    previews = dict(enumerate(model.previews(batch.source, batch.embedding), start=1))
    seen = Seen(model, batch, {2: previews[2], 4: previews[4]}, {2: 4.0, 4: 8.0})
    selector = Selector(Greenness(higher_is_better=False))
    found = predictors.component("preview").build(selector).measured(seen)
    assert set(found) == {f"{name}preview_{step}" for step in (2, 4) for name in ("", "evaluations_")}
    expected = -Greenness().score(model.decode(previews[4]), batch.prompts)
    np.testing.assert_allclose(found["preview_4"], expected)
    assert found["evaluations_preview_2"] == [4.0] * 3
    critic = predictors.component("critic").build(selector).measured(seen)
    cells = batch.source.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean(dim=(3, 5)).flatten(1)
    np.testing.assert_allclose(critic["noise"], cells, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(critic["text"], batch.embedding.cond.mean(dim=1), rtol=1e-6)
    features = predictors.component("features").build(selector).measured(seen)
    assert np.shape(features["features"]) == (3, 8 * 16)
    assert features["evaluations_features"] == [2.0] * 3
    alone = SimpleNamespace(model=model, batch=make_batch())
    np.testing.assert_allclose(
        predictors.component("features").build(selector).measured(alone)["features"], features["features"]
    )


def test_an_unknown_predictor_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no predictor called previw; choose from critic, .*did you mean preview\?"):
        predictors.component("previw")


def test_inner_products_of_numbers_that_are_not_centred_give_the_same_regression() -> None:
    random = np.random.default_rng(5)
    learnt, judged = random.normal(3, size=(24, 4)), random.normal(3, size=(6, 4))
    scores = learnt @ [1.0, 0.5, 0.0, 2.0] + random.normal(size=24)
    table, mean = samples(learnt, judged, scores), learnt.mean(axis=0)
    found = predicted_scores(table, learnt @ learnt.T, judged @ learnt.T)
    inner = (learnt - mean) @ (learnt - mean).T
    penalty = chosen_penalty(inner, scores, table.loc[table[ROLE] == LEARNT, "prompt_id"].tolist())
    weights, constant = ridge(learnt - mean, scores, penalty)
    np.testing.assert_allclose(found, (judged - mean) @ weights + constant, rtol=1e-8)
