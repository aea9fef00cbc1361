from typing import Any

import numpy as np
import pytest
import torch
from tiny import as_prompts

from goldennoise import scorers
from goldennoise.data.shapes.captions import captions
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import sample_scene
from goldennoise.errors import ConfigError, ScorerError
from goldennoise.scorers import shapes_clip, shapes_tone, shapes_verifier

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scenes() -> tuple[torch.Tensor, list[str]]:
    """True renders (12, 3, 64, 64) and their captions."""
    rng = np.random.default_rng(3)
    pool = captions("validation")
    chosen = [pool[index] for index in rng.choice(len(pool), size=12, replace=False)]
    pixels = np.stack([render(sample_scene(caption, rng)) for caption in chosen])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, [caption.text for caption in chosen]


@pytest.fixture(scope="module", params=["shapes_clip", "shapes_verifier", "shapes_verifier_soft"])
def scorer(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    if request.param == "shapes_clip":
        return shapes_clip.build(shapes_clip.Config(), CPU)
    return shapes_verifier.build(shapes_verifier.Config(soft=request.param.endswith("soft")), CPU)


def test_batch_equals_single_and_order_follows(scorer, scenes) -> None:  # type: ignore[no-untyped-def]
    images, prompts = scenes
    together = scorer.score(images, as_prompts(prompts))
    assert together.shape == (len(prompts),)
    alone = torch.cat([scorer.score(images[i : i + 1], as_prompts(prompts[i : i + 1])) for i in range(len(prompts))])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-3)
    backwards = scorer.score(images.flip(0), as_prompts(prompts[::-1]))
    torch.testing.assert_close(backwards.flip(0), together, rtol=0, atol=1e-3)


def test_own_caption_beats_another(scorer, scenes) -> None:  # type: ignore[no-untyped-def]
    images, prompts = scenes
    own, other = scorer.score(images, as_prompts(prompts)), scorer.score(images, as_prompts(prompts[1:] + prompts[:1]))
    assert (own > other).float().mean() > 0.8


def test_preference_is_differentiable_and_takes_any_size(scenes) -> None:  # type: ignore[no-untyped-def]
    images, prompts = scenes
    scorer = shapes_clip.build(shapes_clip.Config(), CPU)
    pixels = images[:2].clone().requires_grad_()
    scorer.score(pixels, as_prompts(prompts[:2])).sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
    larger = torch.nn.functional.interpolate(images, scale_factor=2.0, mode="nearest")
    difference = (scorer.score(larger, as_prompts(prompts)) - scorer.score(images, as_prompts(prompts))).abs()
    assert difference.max() < 5


def test_verifier_refuses_other_prompts(scenes) -> None:  # type: ignore[no-untyped-def]
    images, _ = scenes
    with pytest.raises(ScorerError, match="a dog"):
        shapes_verifier.build(shapes_verifier.Config(), CPU).score(images[:1], as_prompts(["a dog"]))


def test_verifier_refuses_images_of_another_size(scenes) -> None:  # type: ignore[no-untyped-def]
    images, prompts = scenes
    verifier = shapes_verifier.build(shapes_verifier.Config(), CPU)
    with pytest.raises(ScorerError, match=r"images of 64 x 64 px, and these are 64 x 60 px"):
        verifier.score(images[:, :, :60], as_prompts(prompts))


def test_unknown_scorer_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="shapes_clip"):
        scorers.component("shapes_clp")


def test_the_tone_is_that_of_the_background(scenes) -> None:  # type: ignore[no-untyped-def]
    images, prompts = scenes
    possible, level = (shapes_tone.build(shapes_tone.Config(measure=name), CPU) for name in ("possible", "level"))
    assert possible.score(images, as_prompts(prompts)).tolist() == [1.0] * len(images)
    corners = images[:, :, 0, 0].mean(dim=1) * 255
    torch.testing.assert_close(level.score(images, as_prompts(prompts)), corners)
    greys = torch.tensor([5, 20, 80, 127, 160, 180, 250, 255]) / 255
    plain = greys.view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    assert possible.score(plain, as_prompts(["any"] * 8)).tolist() == [0, 1, 1, 0, 0, 1, 1, 1]
    with pytest.raises(ConfigError, match="measure=both: measure must be possible or level"):
        shapes_tone.Config(measure="both")


def test_clip_counts_captions_that_are_longer_than_it_reads() -> None:
    clip: Any = shapes_clip.build(shapes_clip.Config(), CPU)
    own = [caption.text for caption in captions("validation")]
    assert max(len(clip._tokenize.tokenizer(text).input_ids) for text in own) <= clip.num_tokens
    assert clip.num_cut(as_prompts(own)) == 0
    for number in range(1, 24):
        text = " ".join(["red"] * number)
        assert clip.num_cut(as_prompts([text])) == (len(clip._tokenize.tokenizer(text).input_ids) > clip.num_tokens)
    assert clip.num_cut(as_prompts([text, own[0], text])) == 2
