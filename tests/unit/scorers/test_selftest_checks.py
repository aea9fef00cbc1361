"""The self-test: what it finds right of the world's scorers, and each fault that it must see."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from unit.generation.fakes import Brightness

from goldennoise.data.prompts import Prompt
from goldennoise.data.shapes.captions import caption_of
from goldennoise.data.shapes.verifier import verify
from goldennoise.errors import ScorerError
from goldennoise.scorers import shapes_clip, shapes_tone, shapes_verifier
from goldennoise.scorers.selftest.checks import check, examples

CPU = torch.device("cpu")
OWN: dict[str, Any] = {
    "shapes_clip": lambda: shapes_clip.ShapesClip(CPU),
    "shapes_verifier": lambda: shapes_verifier.ShapesVerifier(soft=False),
    "shapes_verifier_soft": lambda: shapes_verifier.ShapesVerifier(soft=True),
    "shapes_tone": lambda: shapes_tone.ShapesTone("possible"),
    "shapes_tone_level": lambda: shapes_tone.ShapesTone("level"),
}


def test_every_image_shows_its_right_prompt_and_not_its_wrong_one() -> None:
    given = examples()
    assert given.images.shape == (6, 3, 64, 64)
    for image, right, wrong in zip(given.images, given.right, given.wrong, strict=True):
        pixels = (image * 255).permute(1, 2, 0).numpy()
        verdicts = []
        for prompt in (right, wrong):
            caption = caption_of(prompt.text)
            assert caption is not None
            verdicts.append(verify(pixels, caption).right)
        assert verdicts == [True, False]


@pytest.mark.parametrize("name", OWN)
def test_the_scorers_of_the_world_meet_their_known_values(name: str) -> None:
    found = check(name, OWN[name](), 1e-3)
    assert found.endswith("known values met")
    assert ("with a gradient" in found) == (name == "shapes_clip")
    assert ("right prompt above wrong one: 6 of 6" in found) == (not name.startswith("shapes_tone"))


class Own(Brightness):
    """One for which no value is known."""


class NoNumber(Own):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        return super().score(images, prompts) * float("nan")


class Constant(Own):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
        return images.sum() * 0 + torch.ones(len(images))


class OfBatch(Own):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        return super().score(images, prompts) + 0.01 * len(images)


class NoGradient(Own):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        return super().score(images.detach(), prompts)


class Broken(Own):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        return super().score(images, prompts) + (images - images).sum().sqrt()


class Shifted(shapes_clip.ShapesClip):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        return super().score(images, prompts) + 0.5


class Reversed(shapes_clip.ShapesClip):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        return -super().score(images, prompts)


def test_one_without_known_values_is_told_so() -> None:
    assert check("own", Own(), 1e-3) == "finite, alone as in a batch, with a gradient, no value is known"
    other: Any = OWN["shapes_clip"]()
    other.version = "another"
    assert check("own", other, 1e-3).endswith("6 of 6, no value is known of version another")


@pytest.mark.parametrize(
    ("scorer", "what"),
    [
        (NoNumber, "gives nan for single_object.png"),
        (Constant, "gives 1 for all 6 images"),
        (OfBatch, r"gives single_object.png .* alone and .* in a batch: a score must not depend"),
        (NoGradient, "says that it is differentiable, and its images get no finite gradient"),
        (Broken, "says that it is differentiable, and its images get no finite gradient"),
        (lambda: Shifted(CPU), r"to image \d with its right prompt, and the known value is"),
        (lambda: Reversed(CPU), "scores the right prompt above a wrong one in 0 of 6 images, not in all"),
    ],
)
def test_every_fault_is_a_sentence(scorer: Any, what: str) -> None:
    with pytest.raises(ScorerError, match=f"^scorer one .*{what}" if not what.startswith("gives") else what):
        check("one", scorer(), 1e-3)
