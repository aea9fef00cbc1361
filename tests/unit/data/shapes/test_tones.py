"""The word before a caption that asks for a tone of the background: who writes it, who reads it, who does not."""

import numpy as np
import pytest
import torch

from goldennoise.data.captioned_images import Renders
from goldennoise.data.lightness import MIDDLE, lightness
from goldennoise.data.prompts import PromptsConfig, load_prompts
from goldennoise.data.shapes.captions import all_captions, caption_of, with_tones, without_tone
from goldennoise.data.shapes.scenes import sample_scene
from goldennoise.data.shapes.verifier import verify
from goldennoise.data.shapes.vocabulary import TONES
from goldennoise.errors import ConfigError


def test_a_word_before_a_caption_asks_for_a_tone() -> None:
    texts = with_tones("two red circles")
    assert texts == ["two red circles", "dark two red circles", "bright two red circles"]
    assert [without_tone(text) for text in texts] == [(texts[0], None), (texts[0], "dark"), (texts[0], "bright")]
    assert without_tone("darkness") == ("darkness", None)
    assert without_tone("a dark circle") == ("a dark circle", None)
    assert not any(text.split()[0] in TONES for text in (caption.text for caption in all_captions()))


def test_a_scene_has_the_tone_that_is_asked_for_and_without_one_stays_what_it_was() -> None:
    caption = caption_of("two red circles")
    assert caption is not None
    levels = {
        tone: [np.mean(sample_scene(caption, np.random.default_rng(seed), tone).background) for seed in range(40)]
        for tone in (None, *TONES)
    }
    assert max(levels["dark"]) < 85 < 170 < min(levels["bright"])
    assert 10 < sum(level < 128 for level in levels[None]) < 30
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scene = sample_scene(caption, rng)
        rest = rng.random()
        again = np.random.default_rng(seed)
        assert sample_scene(caption, again, None) == scene
        assert again.random() == rest


def test_the_prompts_of_the_world_come_with_tones_if_asked() -> None:
    plain, toned = (load_prompts(PromptsConfig(tones=tones), 6 if tones else 2) for tones in (False, True))
    assert [prompt.text for prompt in toned] == [text for prompt in plain for text in with_tones(prompt.text)]
    assert [prompt.category for prompt in toned[:3]] == [plain[0].category] * 3
    with pytest.raises(ConfigError, match="tones=True: tones must be false for a prompt file"):
        PromptsConfig("file", path="prompts.txt", tones=True)


@pytest.mark.parametrize(("word", "dark"), [("dark", True), ("bright", False)])
def test_renders_take_the_word_and_scorers_do_not(word: str, dark: bool) -> None:
    images = torch.stack([Renders().image(f"{word} two red circles", seed, 0) for seed in range(8)])
    assert ((lightness(images) < MIDDLE) == dark).all()
    caption = caption_of("two red circles")
    assert caption is not None
    assert all(verify((image.permute(1, 2, 0) * 255).round().byte().numpy(), caption).right for image in images)
    assert caption_of(f"{word} two red circles") is None
