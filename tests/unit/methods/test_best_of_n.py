import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from tiny import TinyModel, as_prompts
from torch import Tensor
from unit.methods.searching import PROMPTS, make_batch

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ScorerError
from goldennoise.methods.best_of_n import BestOfN
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.search.selector import Selector


@dataclass
class Likeness:
    """The distance of an image from the one its prompt has in `targets`, or minus that distance."""

    targets: dict[str, Tensor]
    higher_is_better: bool = True
    name: str = "likeness"
    version: str = "1"
    unit: str = ""
    differentiable: bool = False
    may_select: bool = True

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        targets = torch.stack([self.targets[prompt.text] for prompt in prompts])
        distance = (images - targets).abs().mean((1, 2, 3))
        return -distance if self.higher_is_better else distance


@dataclass
class Constant(Likeness):
    value: float = 0.0

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
        scores = torch.zeros(len(images))
        scores[-1] = self.value
        return scores


def candidate(batch: SampleBatch, number: int) -> Tensor:
    return batch.source if number == 0 else batch.fresh_noise(f"best_of_n/{number}")


@pytest.mark.parametrize("higher_is_better", [True, False])
@torch.no_grad()
def test_the_known_best_of_every_row_is_found(higher_is_better: bool) -> None:
    model, batch = TinyModel(), make_batch()
    winners = [2, 0, 3]
    noise = torch.stack([candidate(batch, number)[row] for row, number in enumerate(winners)])
    images = model.decode(model.sample(SamplingPlan(noise), batch.embedding))
    scorer = Likeness(dict(zip(PROMPTS, images, strict=True)), higher_is_better)
    torch.testing.assert_close(BestOfN(4, Selector(scorer)).golden(model, batch), noise)


@pytest.mark.parametrize("higher_is_better", [True, False])
@torch.no_grad()
def test_more_candidates_never_score_worse(higher_is_better: bool) -> None:
    model, batch = TinyModel(), make_batch()
    target = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    scorer = Likeness(dict.fromkeys(PROMPTS, target), higher_is_better)
    sign = 1 if higher_is_better else -1
    scores = []
    for num_candidates in (1, 2, 4, 12):
        golden = BestOfN(num_candidates, Selector(scorer)).golden(model, batch)
        images = model.decode(model.sample(SamplingPlan(golden), batch.embedding))
        scores.append(sign * scorer.score(images, as_prompts(PROMPTS)))
    for worse, better in itertools.pairwise(scores):
        assert (better >= worse - 1e-6).all()
    assert (scores[-1] > scores[0]).all()


def test_one_candidate_is_the_source_noise() -> None:
    batch = make_batch()
    assert torch.equal(BestOfN(1, Selector(Constant({}))).golden(TinyModel(), batch), batch.source)


def test_of_equals_the_earliest_is_kept() -> None:
    batch = make_batch()
    assert torch.equal(BestOfN(5, Selector(Constant({}))).golden(TinyModel(), batch), batch.source)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_an_error_that_names_the_prompt(value: float) -> None:
    with pytest.raises(ScorerError, match=r'likeness gives .*"a star"'):
        BestOfN(2, Selector(Constant({}, value=value))).golden(TinyModel(), make_batch())
