"""The canary: which scorers stop a run, by which batch."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tiny import as_prompts
from torch import Tensor
from unit.generation.fakes import Brightness, Reddish

from goldennoise.data.prompts import Prompt
from goldennoise.errors import ScorerError
from goldennoise.scorers import shapes_tone, shapes_verifier
from goldennoise.scorers.batch import Canary, score_batch
from goldennoise.scorers.isolated.process import ProcessScorer
from goldennoise.scorers.protocol import is_continuous, require_scores
from goldennoise.scorers.weighted_sum import WeightedSum

DIFFERENT = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
EQUAL = DIFFERENT[:1].expand(3, -1, -1, -1)


class Constant(Brightness):
    name = "constant"

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
        return torch.full((len(prompts),), 0.25)


class Declared(Constant):
    continuous = False


def judge(canary: Canary, scorer: Any, images: Tensor, texts: Sequence[str]) -> None:
    called = [f"{number}.png" for number in range(len(images))]
    canary(images, score_batch({"one": scorer}, images, as_prompts(texts), called), called)


@pytest.mark.parametrize("texts", [["a dog"] * 3, ["a dog", "a cat", "a cow"]])
def test_equal_scores_of_different_images_stop_the_run(texts: list[str]) -> None:
    scorer = Constant()
    with pytest.raises(
        ScorerError, match=r"scorer one gives 0\.25 for all 3 images from 0\.png to 2\.png, which differ"
    ):
        judge(Canary({"one": scorer}), scorer, DIFFERENT, texts)


@pytest.mark.parametrize("images", [DIFFERENT[:1], EQUAL])
def test_a_batch_without_two_different_images_decides_nothing(images: Tensor) -> None:
    scorer = Constant()
    canary, texts = Canary({"one": scorer}), ["a dog"] * len(images)
    judge(canary, scorer, images, texts)
    judge(canary, scorer, images, texts)
    with pytest.raises(ScorerError, match="which"):
        judge(canary, scorer, DIFFERENT, ["a dog"] * 3)


def test_a_scorer_that_told_two_images_apart_is_trusted() -> None:
    class Sticking(Brightness):
        calls = 0

        def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
            self.calls += 1
            return super().score(images, prompts) if self.calls == 1 else torch.zeros(len(prompts))

    scorer = Sticking()
    canary = Canary({"one": scorer})
    judge(canary, scorer, DIFFERENT, ["a dog"] * 3)
    judge(canary, scorer, DIFFERENT, ["a dog"] * 3)
    assert scorer.calls == 2


def test_a_judge_of_right_and_wrong_may_honestly_give_equal_scores() -> None:
    right, declared = Reddish(), Declared()
    reddish = torch.stack([torch.full((3, 4, 4), level) for level in (0.1, 0.2)])
    reddish[:, 0] = 0.9
    judge(Canary({"one": right}), right, reddish, ["a", "b"])
    judge(Canary({"one": declared}), declared, DIFFERENT, ["a"] * 3)


def test_which_scorers_are_continuous() -> None:
    few = [Reddish(), Declared(), *(shapes_verifier.ShapesVerifier(soft) for soft in (False, True))]
    few += [shapes_tone.ShapesTone("possible"), shapes_tone.ShapesTone("level"), WeightedSum([(1.0, Reddish())])]
    assert not any(map(is_continuous, few))
    assert not ProcessScorer.continuous
    assert is_continuous(Brightness())
    assert is_continuous(WeightedSum([(1.0, Reddish()), (1.0, Brightness())]))


@pytest.mark.parametrize(("scores", "what"), [(None, "NoneType, no tensor"), ([1.0], "list, no tensor")])
def test_what_is_no_tensor_is_no_score(scores: Any, what: str) -> None:
    with pytest.raises(ScorerError, match=rf"scorer one gives {what}, for 1 images; give one each"):
        require_scores("one", scores, ["a.png"])


def test_no_score_at_all_stops_the_run() -> None:
    class Empty(Brightness):
        def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
            return torch.zeros(0)

    with pytest.raises(ScorerError, match=r"shape \(0,\) for 3 images"):
        judge(Canary({"one": Empty()}), Empty(), DIFFERENT, ["a dog"] * 3)
