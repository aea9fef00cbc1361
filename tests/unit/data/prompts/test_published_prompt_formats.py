"""Prompt files as people publish them: JSON, one text a file, long fields; and names that stand twice."""

import json
import logging
import time
from pathlib import Path

import pytest

from goldennoise.data.prompts import Prompt, PromptsConfig, load_prompts, load_training_prompts
from goldennoise.data.prompts.files import prompts_of_file
from goldennoise.errors import DataError, GoldenNoiseError

TEXTS = ["a red cat", 'a dog, 5" tall']
OBJECTS = [{"caption": text, "id": f"coco_{number}"} for number, text in enumerate(TEXTS)]


def read(path: Path, **fields: str | None) -> list[str]:
    return [prompt.text for prompt in load_prompts(PromptsConfig("file", path=str(path), **fields))]  # type: ignore[arg-type]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        TEXTS,
        OBJECTS,
        {"prompts": TEXTS},
        {"version": 1, "data": OBJECTS},
        {"0001": OBJECTS[0], "0002": OBJECTS[1]},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_json_lists_of_texts_and_objects(tmp_path: Path, content: object, indent: int | None) -> None:
    assert read(written(tmp_path, "own.json", json.dumps(content, indent=indent))) == TEXTS


def test_json_objects_have_categories(tmp_path: Path) -> None:
    config = PromptsConfig("file", path=str(written(tmp_path, "own.json", json.dumps(OBJECTS))), category_column="id")
    assert [prompt.category for prompt in load_prompts(config)] == ["coco_0", "coco_1"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("own.json", json.dumps(OBJECTS)), ("own.csv", 'caption,id\na red cat,coco_0\n"a dog, 5"" tall",coco_1\n')],
)
def test_what_a_row_holds_beside_the_text_goes_with_the_prompt(tmp_path: Path, name: str, content: str) -> None:
    prompts = load_prompts(PromptsConfig("file", path=str(written(tmp_path, name, content)), category_column="id"))
    assert [prompt.metadata for prompt in prompts] == [{"id": "coco_0"}, {"id": "coco_1"}]
    assert prompts[0] == Prompt.of("a red cat", "coco_0")
    assert len({*prompts, Prompt.of("a red cat", "coco_0")}) == 2


def test_a_prompt_of_a_text_file_has_no_metadata(tmp_path: Path) -> None:
    (prompt,) = load_prompts(PromptsConfig("file", path=str(written(tmp_path, "own.txt", "a red cat\n"))))
    assert prompt.metadata == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('["a cat",\n "a dog"', "own.json, line 2: not JSON at column 9"),
        ("[" * 100_000, "own.json, line 1: JSON nested too deeply to be read"),
        (f'["a cat", {"1" * 5000}]', "own.json, line 1: a number of too many digits"),
        ('["a cat", 7]', "own.json, item 2: a JSON int instead of a text"),
        ('[{"prompt": "a cat"}, "a dog", ["a fox"]]', "own.json, item 2: a JSON str instead of an object"),
        ('["a cat", " ", "a dog"]', "own.json, item 2: empty"),
        ('["a cat", "a dog", "A  cat"]', "own.json, item 3: the same prompt as item 1"),
        ('[{"prompt": "a cat"}, {"prompt": 7}, {"prompt": null}]', "own.json, item 2: prompt is missing or no text"),
        ('{"prompts": ["a cat"], "others": ["a dog"]}', "own.json: no list of prompts"),
        ('"a cat"', "own.json: no list of prompts"),
        ("[]", "own.json holds no rows"),
        ("", "own.json, line 1: not JSON at column 1"),
    ],
)
def test_json_that_is_no_list_of_prompts_is_refused_with_its_place(tmp_path: Path, content: str, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, "own.json", content))
    assert expected in str(caught.value)


def test_a_folder_has_one_text_a_file_in_the_order_of_its_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, content in (("10.txt", "a fox"), ("2.txt", 'a dog, 5" tall\r\n'), ("1.txt", " a cat\n"), ("a.md", "")):
        written(tmp_path / "prompts", name, content)
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path / "prompts") == [" a cat", 'a dog, 5" tall', "a fox"]
    assert "prompts: left out 1 that is no .txt file (a.md)" in caplog.text


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1.txt": "a cat", "2.txt": "\n"}, "prompts, file 2.txt: empty"),
        ({"1.txt": "a cat", "2.txt": "a dog\nin fog"}, "prompts, file 2.txt: a prompt over 2 lines"),
        ({"1.txt": "a cat", "10.txt": "a fox", "9.txt": "A CAT"}, "prompts, file 9.txt: the same prompt as file 1.txt"),
        ({"1.txt": b"caf\xe9"}, "1.txt, line 1: byte 4 of the line (0xe9) is not UTF-8"),
        ({"a.md": "a cat"}, "prompts holds no .txt file; a folder of prompts has one text a file"),
    ],
)
def test_a_folder_is_read_strictly(tmp_path: Path, files: dict[str, str | bytes], expected: str) -> None:
    for name, content in files.items():
        written(tmp_path / "prompts", name, content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "prompts")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("own.csv", "prompt,kind,prompt\na,b,c\n", "line 1: the header names prompt twice; give every column"),
        ("own.csv", "prompt,kind,kind\na,b,c\n", "line 1: the header names kind twice"),
        ("own.csv", "prompt,kind,kind \na,b,c\n", "line 1: the header names kind twice"),
        ("own.tsv", "kind\tkind\tprompt\na\tb\tc\n", "line 1: the header names kind twice"),
        ("own.jsonl", '{"x": "a"}\n{"prompt": "b", "prompt": "c"}\n', "line 2: an object has the key prompt twice"),
        ("own.jsonl", '{"prompt": "a", "x": [{"k": 1, "k": 1}]}\n', "line 1: an object has the key k twice"),
        ("own.json", '[{"prompt": "}{"},\n{"prompt": "a", "e": {}},\n{"prompt": "b", "prompt": "\\"}"\n}]',
         "line 4: an object has the key prompt twice"),
    ],
)  # fmt: skip
def test_a_column_that_stands_twice_is_refused_with_its_line(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        read(path, category_column="kind" if "kind" in content else None)
    assert f"{path}, {expected}" in str(caught.value)


def test_columns_without_a_name_may_be_several_but_are_no_prompts(tmp_path: Path) -> None:
    path = written(tmp_path, "own.csv", ",prompt,,\n1,a cat,x,y\n")
    assert read(path) == ["a cat"]
    with pytest.raises(DataError, match=r"prompts\.text_column= is not there"):
        read(path, text_column="")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.jsonl", '{"prompt": "a cat"\n{"prompt": "a dog"\n'),
        ("own.jsonl", '{"x": 1}\n{"prompt": "a dog"\n'),
        ("own.csv", '"prompt\na cat\n'),
    ],
)
def test_defects_are_told_before_the_column_that_is_missing_because_of_them(
    tmp_path: Path, name: str, content: str
) -> None:
    with pytest.raises(DataError, match=r"line [12]: (not JSON|a quote)"):
        read(written(tmp_path, name, content))


def test_a_field_of_any_length_is_a_prompt(tmp_path: Path) -> None:
    long = "a cat and " * 20_000
    assert read(written(tmp_path, "own.csv", f'n,prompt\n1,{long}\n2,"{long}too"\n')) == [long, long + "too"]


@pytest.mark.parametrize("suffix", ["txt", "csv", "tsv", "jsonl", "json"])
def test_a_line_of_10_mb_does_not_hang(tmp_path: Path, suffix: str) -> None:
    long = "a cat " * 1_700_000
    head, text = {"json": ("", json.dumps([long])), "jsonl": ("", json.dumps({"prompt": long}))}.get(
        suffix, ("" if suffix == "txt" else "prompt\n", long)
    )
    path = written(tmp_path, f"own.{suffix}", f"{head}{text}\n")
    start = time.monotonic()
    assert len(read(path)) == 1
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("lines", ["a dog in the fog\n", "2,a dog in the fog\n"])
def test_an_open_quote_of_10_mb_is_found_at_once_and_told_with_its_reach(tmp_path: Path, lines: str) -> None:
    num_lines = 10_000_000 // len(lines)
    path = written(tmp_path, "own.csv", 'n,prompt\n1,a fox\n1,"a cat\n' + lines * num_lines)
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        read(path)
    assert time.monotonic() - start < 4
    expected = f"line 3: a quote that opens here is not closed, it swallows the lines to {num_lines + 3}; "
    assert expected in str(caught.value)
    assert "more damaged" not in str(caught.value)


def test_letters_under_a_pile_of_accents_are_refused_instead_of_taking_hours(tmp_path: Path) -> None:
    path = written(tmp_path, "own.txt", "a cat\nZ" + "\u0301\u0323" * 20 + "algo\na" + "\u0301\u0323" * 500_000)
    start = time.monotonic()
    with pytest.raises(DataError, match="line 3: more than 100 accents on one letter"):
        read(path)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("category", ["x\ny", "x\ud83d"])
def test_a_category_is_a_whole_line_too(tmp_path: Path, category: str) -> None:
    path = written(tmp_path, "own.jsonl", json.dumps({"prompt": "a cat", "kind": category}))
    with pytest.raises(DataError, match=r"line 1: (a category over 2 lines|half of a character)"):
        read(path, category_column="kind")


@pytest.mark.parametrize(
    ("name", "content", "fields"),
    [
        ("own.csv", ",".join(f"column {n}" for n in range(5000)) + "\n", {}),
        ("own.csv", "a" * 5000 + "\nx\n", {}),
        ("own.csv", "prompt," + "b" * 5000 + "\nx\n", {}),
        ("own.jsonl", json.dumps({"k" * 5000: 1, "prompt": 2}), {}),
        ("own.jsonl", '{{"{0}": 1, "{0}": 2}}'.format("k" * 5000), {}),
        ("own.csv", "prompt,kind\n" + "".join(f"cat {n},{n}\n" for n in range(5000)), {"category": "none"}),
    ],
)
def test_messages_stay_short(tmp_path: Path, name: str, content: str, fields: dict[str, str]) -> None:
    column = "kind" if fields else None
    with pytest.raises(GoldenNoiseError) as caught:
        read(written(tmp_path, name, content), category_column=column, **fields)
    assert len(str(caught.value)) < len(str(tmp_path)) + 600
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("home", ["~/own.txt", "~/own words (é, 日本, ', &, #)/1.txt"])
def test_paths_as_users_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, home.removeprefix("~/"), "a cat\n")
    written(tmp_path, "measured.txt", "a dog\n")
    written(tmp_path, "all.txt", "a dog\na cat\n")
    assert [prompt.text for prompt in prompts_of_file(PromptsConfig("file", path=home))] == ["a cat"]
    config = PromptsConfig("file", path="~/all.txt", held_out=["~/measured.txt"])
    assert [prompt.text for prompt in load_training_prompts(config)[0]] == ["a cat"]


@pytest.mark.parametrize("path", ["x" * 300 + ".txt", "~nobody-of-this-name/a.txt", "a\0b.txt"])
def test_a_path_that_cannot_be_one_is_a_sentence(path: str) -> None:
    with pytest.raises(GoldenNoiseError):
        prompts_of_file(PromptsConfig("file", path=path))


@pytest.mark.parametrize("name", ["own_words.txt", "geneval_metadata.jsonl"])
def test_files_of_the_presets_are_found_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(read(Path("data/prompts") / name)) >= 30
