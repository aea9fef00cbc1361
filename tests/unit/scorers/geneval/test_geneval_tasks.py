"""GenEval's metadata: the published file as it ships, and what is refused with file and line."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from goldennoise.data.prompts import PromptsConfig, load_prompts
from goldennoise.errors import DataError
from goldennoise.scorers.geneval.tasks import CLASSES, COLOURS, RELATIONS, TAGS, Clause, Task, read_tasks

PUBLISHED = Path(__file__).parents[4] / "data" / "prompts" / "geneval_metadata.jsonl"
BENCH = {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a photo of a bench"}


@pytest.fixture(scope="module")
def published() -> dict[str, Task]:
    return read_tasks(PUBLISHED)


def test_the_published_file_is_read_whole(published: dict[str, Task]) -> None:
    assert len(published) == 553
    counts = {"single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100}
    assert Counter(task.tag for task in published.values()) == counts
    assert set(counts) == set(TAGS)


def test_what_a_line_says_is_what_is_asked(published: dict[str, Task]) -> None:
    assert published["a photo of two clocks"] == Task("counting", (Clause("clock", 2),), (Clause("clock", 3),))
    assert published["a photo of a dog right of a teddy bear"] == Task(
        "position", (Clause("teddy bear", 1), Clause("dog", 1, relation="right of", target=0))
    )
    assert published["a photo of a purple wine glass and a black apple"] == Task(
        "color_attr", (Clause("wine glass", 1, "purple"), Clause("apple", 1, "black"))
    )


def test_every_class_colour_and_relation_is_asked_for(published: dict[str, Task]) -> None:
    asked = [clause for task in published.values() for clause in task.include]
    assert {clause.name for clause in asked} == set(CLASSES)
    assert len(set(CLASSES)) == len(CLASSES) == 80
    assert {clause.colour for clause in asked} == {None, *COLOURS}
    assert {clause.relation for clause in asked} == {None, *RELATIONS}


def test_only_counting_excludes_and_always_one_more(published: dict[str, Task]) -> None:
    for task in published.values():
        assert bool(task.exclude) == (task.tag == "counting")
        assert all(one.count + 1 == other.count for one, other in zip(task.include, task.exclude, strict=False))


def test_prompts_of_the_set_are_those_of_the_tasks_with_their_tags(published: dict[str, Task]) -> None:
    config = PromptsConfig("file", path=str(PUBLISHED), text_column="prompt", category_column="tag")
    assert {prompt.text: prompt.category for prompt in load_prompts(config)} == {
        prompt: task.tag for prompt, task in published.items()
    }


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"include": [{"class": "benches", "count": 1}]}, "ValueError: class 'benches' is none of COCO's 80"),
        ({"include": [{"class": "bench", "count": 1, "color": "grey"}]}, "color 'grey' is none of red, orange, "),
        ({"include": [{"class": "bench", "count": 0}]}, "count 0 is below 1"),
        ({"include": [{"class": "bench", "count": "two"}]}, "TypeError"),
        ({"include": [{"class": "bench"}]}, "KeyError: 'count'"),
        ({"include": [{"class": "bench", "count": 1, "position": ["above", 0]}]}, "['above', 0] is no relation to a"),
        (
            {"include": [{"class": "cow", "count": 1}, {"class": "dog", "count": 1, "position": ["near", 0]}]},
            "['near', 0] is no relation",
        ),
        ({"exclude": [{"class": "bench"}]}, "KeyError: 'count'"),
        ({"include": [["bench", 1]]}, "AttributeError"),
        ({"include": {"class": "bench", "count": 1}}, "AttributeError"),
        ({"include": [{"class": "bench", "count": 1.5}]}, "count 1.5 is no whole number"),
        ({"include": [{"class": "bench", "count": True}]}, "count True is no whole number"),
        ({"include": [{"class": "bench", "count": 1, "position": "ab"}]}, "['a', 'b'] is no relation"),
        (
            {"include": [{"class": "cow", "count": 1}, {"class": "dog", "count": 1, "position": ["above", 0.0]}]},
            "['above', 0.0] is no relation",
        ),
        ({"include": []}, "it has no clause"),
        ({"tag": 7}, "tag 7 is no text"),
        ({"include": [{"class": "b" * 5000, "count": 1}]}, "none of COCO's 80"),
        ({"prompt": 7}, "prompt 7 stands there twice or is no text"),
        ({"prompt": "a photo of a cow"}, "prompt 'a photo of a cow' stands there twice"),
    ],
)
def test_a_line_that_is_no_task_is_named(tmp_path: Path, changes: dict[str, object], what: str) -> None:
    path = tmp_path / "tasks.jsonl"
    cow = BENCH | {"prompt": "a photo of a cow"}
    path.write_text("".join(json.dumps(row) + "\n" for row in (cow, BENCH | changes)))
    with pytest.raises(DataError, match=re.escape(f"{path}, line 2: ") + ".*" + re.escape(what)) as caught:
        read_tasks(path)
    assert len(str(caught.value)) < len(str(path)) + 400


def test_a_missing_or_torn_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        read_tasks(tmp_path / "none.jsonl")
    (tmp_path / "torn.jsonl").write_text(json.dumps(BENCH)[:-5])
    with pytest.raises(DataError, match="line 1: not JSON"):
        read_tasks(tmp_path / "torn.jsonl")
