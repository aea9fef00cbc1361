"""A weighted sum of scorers: direction, what it may do, its version, and what it refuses."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import as_prompts
from torch import Tensor

from goldennoise import scorers
from goldennoise.data.prompts import Prompt
from goldennoise.errors import ConfigError, ScorerError
from goldennoise.scorers.weighted_sum import Config, WeightedSum, build

CPU = torch.device("cpu")
PROMPTS = ["a dog", "a cat", "a bird"]


@dataclass(frozen=True)
class Channel:
    """Mean of one colour channel."""

    name: str
    channel: int
    version: str = "1"
    higher_is_better: bool = True
    differentiable: bool = True
    may_select: bool = True
    unit: str = "share"

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
        return images[:, self.channel].mean(dim=(1, 2))


RED, GREEN = Channel("red", 0), Channel("green", 1, version="2", higher_is_better=False)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def test_lower_is_better_is_subtracted(images: Tensor) -> None:
    both = WeightedSum([(2.0, RED), (0.5, GREEN)])
    expected = 2.0 * images[:, 0].mean(dim=(1, 2)) - 0.5 * images[:, 1].mean(dim=(1, 2))
    torch.testing.assert_close(both.score(images, as_prompts(PROMPTS)), expected)
    assert both.higher_is_better


def test_batch_equals_single(images: Tensor) -> None:
    both = WeightedSum([(2.0, RED), (0.5, GREEN)])
    alone = torch.cat([both.score(images[i : i + 1], as_prompts(PROMPTS[i : i + 1])) for i in range(3)])
    torch.testing.assert_close(both.score(images, as_prompts(PROMPTS)), alone)


def test_it_is_a_scorer_of_scorers(images: Tensor) -> None:
    inner = WeightedSum([(2.0, RED)])
    torch.testing.assert_close(
        WeightedSum([(3.0, inner)]).score(images, as_prompts(PROMPTS)), 6.0 * RED.score(images, as_prompts(PROMPTS))
    )


def test_gradients_reach_the_images_through_every_part(images: Tensor) -> None:
    images.requires_grad_()
    WeightedSum([(2.0, RED), (0.5, GREEN)]).score(images, as_prompts(PROMPTS)).sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad[0, :, 0, 0], torch.tensor([2.0 / 20, -0.5 / 20, 0.0]))


@pytest.mark.parametrize("ability", ["differentiable", "may_select"])
def test_it_can_only_what_all_its_parts_can(ability: str) -> None:
    unable: Any = Channel("blue", 2, **{ability: False})
    assert getattr(WeightedSum([(1.0, RED), (1.0, GREEN)]), ability)
    assert not getattr(WeightedSum([(1.0, RED), (1.0, unable)]), ability)


def test_version_tells_weights_directions_and_versions_of_the_parts() -> None:
    assert WeightedSum([(2.0, RED), (0.1, GREEN)]).version == "2.0 red@1 0.1 green@2"


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1.0, float("nan"), 1.0], 'scorer broken gives nan for "a cat"'),
        ([1.0, 1.0, float("-inf")], 'scorer broken gives -inf for "a bird"'),
        (1.0, "scorer broken gives scores of shape () for 3 images"),
    ],
)
def test_a_part_without_a_finite_score_for_each_image_is_named(images: Tensor, scores: Any, expected: str) -> None:
    broken: Any = SimpleNamespace(**vars(Channel("broken", 0)) | {"score": lambda *_: torch.tensor(scores)})
    with pytest.raises(ScorerError, match=re.escape(expected)):
        WeightedSum([(1.0, RED), (1.0, broken)]).score(images, as_prompts(PROMPTS))


def test_parts_are_built_with_their_defaults_whatever_their_order(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"red": RED, "green": GREEN}

    def component(kind: str) -> SimpleNamespace:
        return SimpleNamespace(Config=lambda: SimpleNamespace(kind=kind), build=lambda config, _: parts[config.kind])

    monkeypatch.setattr(scorers, "component", component)
    one, other = (
        build(Config(parts=dict(order)), CPU)
        for order in ([("red", 2.0), ("green", 1.0)], [("green", 1.0), ("red", 2.0)])
    )
    assert one.version == other.version == "1.0 green@2 2.0 red@1"
    torch.testing.assert_close(
        one.score(images, as_prompts(PROMPTS)), 2 * images[:, 0].mean((1, 2)) - images[:, 1].mean((1, 2))
    )


def test_a_sum_with_a_part_that_only_reports_is_built_and_only_reports() -> None:
    built = build(Config(parts={"shapes_verifier": 1.0}), CPU)
    assert (built.may_select, built.differentiable) == (False, False)
    assert built.version == "1.0 shapes_verifier@1"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, "parts={}: parts must be at least one scorer with its weight"),
        ({"shapes_clp": 1.0}, "weighted_sum; did you mean shapes_clip?"),
        ({"shapes_clip": 0.0}, "parts.shapes_clip=0.0: shapes_clip must be a finite weight above 0"),
        ({"shapes_clip": -1.0}, "parts.shapes_clip=-1.0"),
        ({"shapes_clip": float("inf")}, "parts.shapes_clip=inf"),
        ({"shapes_clip": float("nan")}, "parts.shapes_clip=nan"),
        ({"weighted_sum": 1.0}, "parts.weighted_sum: a weighted sum cannot be a part"),
    ],
)
def test_parts_that_are_refused(parts: dict[str, float], expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        Config(parts=parts)
