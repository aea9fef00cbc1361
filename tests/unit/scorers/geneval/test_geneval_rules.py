"""GenEval's rules on detections written down by hand: each kind of prompt right and wrong, and every threshold."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.scorers.geneval import naive_geneval
from unit.scorers.geneval.objects import at, coloured, found, nobody_asks

from goldennoise.scorers.geneval.rules import Detection, is_right, relations
from goldennoise.scorers.geneval.tasks import CLASSES, COLOURS, Clause, Task, read_tasks

PUBLISHED = Path(__file__).parents[4] / "data" / "prompts" / "geneval_metadata.jsonl"
BENCH = Task("single_object", (Clause("bench", 1),))
PAIR = Task("two_object", (Clause("bench", 1), Clause("cow", 1)))
TWO_COWS = Task("counting", (Clause("cow", 2),), (Clause("cow", 3),))
RED_COW = Task("colors", (Clause("cow", 1, "red"),))
RED_COW_BLUE_DOG = Task("color_attr", (Clause("cow", 1, "red"), Clause("dog", 1, "blue")))
DOG_LEFT_OF_COW = Task("position", (Clause("cow", 1), Clause("dog", 1, relation="left of", target=0)))


@pytest.mark.parametrize(
    ("task", "detections", "right"),
    [
        (BENCH, [found("bench")], True),
        (BENCH, [found("cow")], False),
        (BENCH, [], False),
        (BENCH, [found("bench"), found("bench"), found("cow")], True),  # more than asked is no mistake here
        (PAIR, [found("bench"), found("cow")], True),
        (PAIR, [found("bench"), found("bench")], False),
        (PAIR, [found("cow")], False),
        (TWO_COWS, [found("cow")] * 2, True),
        (TWO_COWS, [found("cow")], False),
        (TWO_COWS, [found("cow")] * 3, False),
        (TWO_COWS, [*[found("cow")] * 2, found("dog")], True),
        (DOG_LEFT_OF_COW, [at("dog", 20, 50), at("cow", 80, 50)], True),
        (DOG_LEFT_OF_COW, [at("cow", 20, 50), at("dog", 80, 50)], False),
        (DOG_LEFT_OF_COW, [at("dog", 20, 50)], False),
        (DOG_LEFT_OF_COW, [at("cow", 80, 50)], False),
    ],
)
def test_objects_counts_and_places(task: Task, detections: Sequence[Detection], right: bool) -> None:
    assert is_right(task, detections, nobody_asks) == right


@pytest.mark.parametrize(
    ("task", "colours", "right"),
    [
        (RED_COW, {"cow": "red"}, True),
        (RED_COW, {"cow": "blue"}, False),
        (RED_COW_BLUE_DOG, {"cow": "red", "dog": "blue"}, True),
        (RED_COW_BLUE_DOG, {"cow": "blue", "dog": "red"}, False),  # the right colours on the wrong objects
        (RED_COW_BLUE_DOG, {"cow": "red", "dog": "red"}, False),
        (RED_COW_BLUE_DOG, {"cow": "blue", "dog": "blue"}, False),
    ],
)
def test_colours_belong_to_their_objects(task: Task, colours: dict[str, str], right: bool) -> None:
    detections = [found("cow"), found("dog"), found("bench")]
    assert is_right(task, detections, coloured(**colours)) == right


def test_the_colour_of_an_object_of_another_class_does_not_count() -> None:
    assert not is_right(RED_COW, [found("dog")], nobody_asks)


@pytest.mark.parametrize(("first", "right"), [("red", True), ("blue", False)])
def test_only_the_most_confident_object_is_looked_at(first: str, right: bool) -> None:
    """As the reference says: a second cow in the colour asked for does not help, in another does not harm."""
    second = {"red": "blue", "blue": "red"}[first]
    cows = [found("cow", confidence=0.5), found("cow", confidence=0.8)]
    assert is_right(RED_COW, cows, lambda cow: first if cow.confidence == 0.8 else second) == right


def test_every_object_of_a_count_must_have_the_colour() -> None:
    task = Task("colors", (Clause("cow", 2, "red"),))
    cows = [found("cow", confidence=confidence) for confidence in (0.5, 0.6, 0.7)]
    assert is_right(task, cows, lambda cow: "red" if cow.confidence > 0.5 else "blue")
    assert not is_right(task, cows, lambda cow: "red" if cow.confidence != 0.6 else "blue")


def test_every_object_must_stand_so_to_every_target() -> None:
    two = Task("position", (Clause("cow", 2), Clause("dog", 2, relation="above", target=0)))
    first_ones = [at("cow", 40, 80), at("dog", 40, 20)]
    assert is_right(two, [*first_ones, at("cow", 60, 80), at("dog", 60, 20)], nobody_asks)
    assert not is_right(two, [*first_ones, at("cow", 60, 80), at("dog", 60, 140)], nobody_asks)
    assert not is_right(two, [*first_ones, at("cow", 60, 10), at("dog", 60, 20)], nobody_asks)


def test_a_place_is_relative_to_the_clause_it_names() -> None:
    asked = (Clause("cow", 1), Clause("bench", 1), Clause("dog", 1, relation="below", target=1))
    detections = [at("cow", 50, 90), at("bench", 50, 10), at("dog", 50, 50)]
    assert is_right(Task("position", asked), detections, nobody_asks)
    other = (*asked[:2], Clause("dog", 1, relation="below", target=0))
    assert not is_right(Task("position", other), detections, nobody_asks)


@pytest.mark.parametrize(
    ("task", "confidence", "right"),
    [
        (BENCH, 0.3, False),
        (BENCH, math.nextafter(0.3, 1), True),
        (Task("counting", BENCH.include), 0.9, False),
        (Task("counting", BENCH.include), math.nextafter(0.9, 1), True),
    ],
)
def test_confidence_must_exceed_its_threshold(task: Task, confidence: float, right: bool) -> None:
    assert is_right(task, [found("bench", confidence=confidence)], nobody_asks) == right


def test_an_unsure_third_object_is_no_mistake_in_counting() -> None:
    assert is_right(TWO_COWS, [*[found("cow")] * 2, found("cow", confidence=0.9)], nobody_asks)
    assert not is_right(TWO_COWS, [*[found("cow")] * 2, found("cow", confidence=0.91)], nobody_asks)


def test_only_sixteen_objects_of_a_class_count() -> None:
    benches = [found("bench")] * 20 + [found("cow")] * 16
    for name, count, right in [("bench", 16, True), ("bench", 17, False), ("cow", 16, True)]:
        assert is_right(Task("counting", (Clause(name, count),)), benches, nobody_asks) == right
    sixteen_first = [found("bench", confidence=0.5)] + [found("bench", confidence=0.8)] * 16
    every = Task("colors", (Clause("bench", 16, "red"),))
    assert is_right(every, sixteen_first, lambda bench: "red" if bench.confidence == 0.8 else "blue")


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (50, 0, {"right of"}),
        (-50, 0, {"left of"}),
        (0, 50, {"below"}),  # rows are counted from the top
        (0, -50, {"above"}),
        (50, 50, {"right of", "below"}),
        (-50, -50, {"left of", "above"}),
        (50, 20, {"right of"}),
        (0, 0, set()),
        # both 10 px large, so 0.1 x 20 = 2 px are taken off along each axis
        (2, 0, set()),
        (2.0009, 0, set()),  # below 0.001 px apart
        (3.9, 0, set()),  # 1.9 / 3.9 < 0.5
        (4, 0, set()),  # 2 / 4 is 0.5 and must be exceeded
        (4.1, 0, {"right of"}),
        (-4, 0, set()),
        (0, 4, set()),
        (0, -4, set()),
        (0, -4.1, {"above"}),
        (4.1, 0.4, {"right of"}),
        (4.1, 1, set()),  # a longer offset, and the share of x falls below 0.5
    ],
)
def test_relations_by_offset(x: float, y: float, expected: set[str]) -> None:
    assert relations(at("dog", 100 + x, 100 + y), at("cow", 100, 100)) == expected


def test_large_objects_must_lie_further_apart() -> None:
    """Along x the extents are 100 and 20 px, so 12 px are taken off: more than half of the offset must be left."""
    wide = found("cow", (0, 0, 100, 10))
    assert relations(found("dog", (64, 0, 84, 10)), wide) == set()
    assert relations(found("dog", (65, 0, 85, 10)), wide) == {"right of"}
    assert relations(wide, found("dog", (65, 0, 85, 10))) == {"left of"}


def detections_for(metadata: dict[str, Any], rng: np.random.Generator) -> tuple[list[Detection], list[str]]:
    """What a detector might find for a prompt, right about every second time, and the colour of each object."""
    detections, colours = [], []
    wanted = [(clause["class"], clause["count"], clause.get("color")) for clause in metadata["include"]]
    for name, count, colour in [*wanted, (str(rng.choice(CLASSES)), 1, None)]:
        low = 0.86 if metadata["tag"] == "counting" else 0.25
        for _ in range(count + rng.choice([-1, 0, 0, 0, 1])):
            left, top = rng.uniform(0, 80, size=2).round()
            width, height = rng.uniform(5, 60, size=2).round()
            box = (left, top, left + width, top + height)
            detections.append(found(name, box, rng.choice([0.3, 0.9, *rng.uniform(low, 1, size=8)])))
            colours.append(colour if colour and rng.random() < 0.85 else str(rng.choice(COLOURS)))
    order = rng.permutation(len(detections))
    return [detections[i] for i in order], [colours[i] for i in order]


def namer(detections: Sequence[Detection], colours: Sequence[str]) -> Callable[[Detection], str]:
    known = dict(zip(map(id, detections), colours, strict=True))
    return lambda detection: known[id(detection)]


def test_verdicts_are_those_of_the_rules_written_once_more() -> None:
    tasks = read_tasks(PUBLISHED)
    rng = np.random.default_rng(0)
    rights: dict[str, list[bool]] = {}
    for line in PUBLISHED.read_text(encoding="utf-8").splitlines():
        metadata = json.loads(line)
        for _ in range(8):
            detections, colours = detections_for(metadata, rng)
            expected = naive_geneval.is_right(metadata, detections, colours)
            assert is_right(tasks[metadata["prompt"]], detections, namer(detections, colours)) == expected
            rights.setdefault(metadata["tag"], []).append(expected)
    # Else nothing would have been compared.
    assert all(0.05 < np.mean(verdicts) < 0.95 for verdicts in rights.values())
