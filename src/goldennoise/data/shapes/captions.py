"""Captions of the shapes world: six kinds, their wording, and three disjoint splits.

A `Caption` is what an image should show; its `key` names the combination of attributes whatever the wording
or the order of the objects, and whole keys belong to one split. So no benchmark combination is
ever seen in training, in any wording.
"""

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from goldennoise.data.shapes.vocabulary import (
    COLOURS,
    COUNTS,
    KINDS,
    OPPOSITE,
    RELATIONS,
    SHAPES,
    SIZES,
    TEMPLATES,
    TONES,
)

SPLITS = {"benchmark": 0.25, "validation": 0.05, "train": 0.70}
"""Split -> share of the keys of every kind."""

SIZE_CHOICES = (None, *SIZES)


@dataclass(frozen=True)
class WantedObject:
    """One object of a caption; `None` leaves the attribute free."""

    shape: str
    colour: str | None = None
    size: str | None = None

    def words(self) -> str:
        return " ".join(word for word in (self.size, self.colour, self.shape) if word)


@dataclass(frozen=True)
class Caption:
    """What an image should show: exactly these objects, and `objects[0]` in `relation` to `objects[1]`."""

    kind: str
    objects: tuple[WantedObject, ...]
    relation: str | None = None
    template: str = TEMPLATES[0]

    @property
    def text(self) -> str:
        if self.kind == "counting":
            phrase = f"{COUNTS[len(self.objects)]} {self.objects[0].words()}"
            phrase += "es" if phrase.endswith("s") else "s"
        else:
            phrase = f" {self.relation or 'and'} ".join(f"a {wanted.words()}" for wanted in self.objects)
        return self.template.format(phrase)

    @property
    def key(self) -> str:
        """The wanted combination, whatever the wording and the order of the objects."""
        parts, relation = [wanted.words() for wanted in self.objects], self.relation
        if relation in ("right of", "below"):
            parts, relation = parts[::-1], OPPOSITE[relation]
        elif relation is None:
            parts.sort()
        return f"{self.kind}: {f' {relation} '.join(parts)}"


def all_captions() -> Iterator[Caption]:
    """Every caption of the world, in a fixed order."""
    for phrase, template in itertools.product(_phrases(), TEMPLATES):
        yield Caption(phrase.kind, phrase.objects, phrase.relation, template)


def captions(split: str) -> list[Caption]:
    """All captions of one split ("train", "validation", "benchmark"), in a fixed order."""
    members = _split_of_key()
    return [caption for caption in all_captions() if members[caption.key] == split]


def caption_of(text: str) -> Caption | None:
    """The caption a prompt words, or None where it is none of the world's."""
    return _caption_of_text().get(text)


def with_tones(text: str) -> list[str]:
    """A caption, and the same with the word for each tone before it: "dark a red circle"."""
    return [text, *(f"{tone} {text}" for tone in TONES)]


def without_tone(prompt: str) -> tuple[str, str | None]:
    """A prompt without the word that `with_tones` puts before it, and that word; None where there is none."""
    word, _, text = prompt.partition(" ")
    return (text, word) if word in TONES else (prompt, None)


def benchmark(num_captions: int = 1000, split: str = "benchmark") -> list[Caption]:
    """A fixed choice of captions from a split, spread over the kinds as evenly as their number allows."""
    pools: dict[str, list[Caption]] = {kind: [] for kind in KINDS}
    for caption in captions(split):
        pools[caption.kind].append(caption)
    order = random.Random(f"goldennoise-shapes-{split}")
    for pool in pools.values():
        order.shuffle(pool)
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*pools.values()))
    return list(itertools.islice((caption for caption in rounds if caption), num_captions))


def _phrases() -> Iterator[Caption]:
    single = [WantedObject(shape, size=size) for shape, size in itertools.product(SHAPES, SIZE_CHOICES)]
    coloured = [WantedObject(shape, colour) for shape, colour in itertools.product(SHAPES, COLOURS)]
    for wanted in single:
        yield Caption("single_object", (wanted,))
    for first, second in itertools.permutations(single, 2):
        if first.shape != second.shape:
            yield Caption("two_object", (first, second))
    choices = itertools.product(COUNTS, SHAPES, (None, *COLOURS), SIZE_CHOICES)
    for count, shape, colour, size in choices:
        yield Caption("counting", (WantedObject(shape, colour, size),) * count)
    for shape, colour, size in itertools.product(SHAPES, COLOURS, SIZE_CHOICES):
        yield Caption("colors", (WantedObject(shape, colour, size),))
    plain = [WantedObject(shape) for shape in SHAPES]
    for objects in (plain, coloured):
        for (first, second), relation in itertools.product(itertools.permutations(objects, 2), RELATIONS):
            yield Caption("position", (first, second), relation)
    for first, second in itertools.permutations(coloured, 2):
        if first.shape != second.shape and first.colour != second.colour:
            yield Caption("color_attr", (first, second))


@cache
def _caption_of_text() -> dict[str, Caption]:
    return {caption.text: caption for caption in all_captions()}


def _split_of_key() -> dict[str, str]:
    keys: dict[str, dict[str, None]] = {kind: {} for kind in KINDS}
    for phrase in _phrases():
        keys[phrase.kind][phrase.key] = None
    members: dict[str, str] = {}
    for pool in keys.values():
        # Ordered by hash, so that the splits do not follow the order of the vocabulary.
        ordered = sorted(pool, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
        num_benchmark = round(SPLITS["benchmark"] * len(ordered))
        num_validation = max(1, round(SPLITS["validation"] * len(ordered)))
        members |= dict.fromkeys(ordered, "train")
        members |= dict.fromkeys(ordered[: num_benchmark + num_validation], "validation")
        members |= dict.fromkeys(ordered[:num_benchmark], "benchmark")
    return members
