from collections import Counter

import pytest

from goldennoise.data.shapes.captions import Caption, WantedObject, all_captions, benchmark, caption_of, captions
from goldennoise.data.shapes.vocabulary import KINDS
from goldennoise.runtime.seeding import prompt_id


def test_splits_share_no_combination_and_no_text() -> None:
    keys = [{caption.key for caption in captions(split)} for split in ("train", "validation", "benchmark")]
    texts = [{prompt_id(caption.text) for caption in captions(split)} for split in ("train", "validation", "benchmark")]
    for sets in (keys, texts):
        assert not sets[0] & sets[1]
        assert not sets[0] & sets[2]
        assert not sets[1] & sets[2]


def test_key_ignores_wording_and_order() -> None:
    red, blue = WantedObject("circle", "red"), WantedObject("square", "blue")
    left = Caption("position", (red, blue), "left of")
    right = Caption("position", (blue, red), "right of", template="a picture of {}")
    assert left.key == right.key
    assert left.key != Caption("position", (blue, red), "left of").key
    assert Caption("color_attr", (red, blue)).key == Caption("color_attr", (blue, red)).key


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        (Caption("counting", (WantedObject("cross", "red"),) * 2), "two red crosses"),
        (Caption("position", (WantedObject("ring"), WantedObject("circle")), "above"), "a ring above a circle"),
        (Caption("single_object", (WantedObject("square", size="small"),)), "a small square"),
    ],
)
def test_wording(caption: Caption, text: str) -> None:
    assert caption.text == text
    assert caption_of(text) == caption


def test_every_text_is_one_caption() -> None:
    texts = Counter(caption.text for caption in all_captions())
    assert max(texts.values()) == 1
    assert caption_of("a dog") is None


def test_benchmark_is_fixed_and_covers_every_kind() -> None:
    chosen = benchmark()
    assert len(chosen) == 1000
    assert {caption.kind for caption in chosen} == set(KINDS)
    assert chosen[:5] == benchmark(5)
    assert {caption.key for caption in chosen} <= {caption.key for caption in captions("benchmark")}
