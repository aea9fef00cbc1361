"""Prompt files are read strictly: every defect is refused with its file and line."""

import logging
from pathlib import Path

import pytest

from goldennoise.data.prompts import PromptsConfig, all_prompts, load_prompts, load_training_prompts
from goldennoise.errors import ConfigError, DataError

# The header names four columns, rows give two; texts with unquoted commas; a quote that opens on line 5 closes on 7.
DAMAGED_CSV = """number,caption,translation,remark
0,A dragon reads a newspaper in a laundrette.
1,A lighthouse in fog, oil on canvas, by a painter of the coast, muted colours.
2,A paper boat on a puddle,,
3,"Portrait of a fisherman in a yellow coat.
4,A still life with two lemons and a knife.
5,A poster that says "tea", in red.
6,A fox on a tin roof.,,
"""


def config(path: Path, **fields: str | None) -> PromptsConfig:
    return PromptsConfig("file", path=str(path), **fields)  # type: ignore[arg-type]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "fields"),
    [
        ("own.txt", 'a red cat\n a cat, 5" tall \n', {}),
        ("own.txt", '\ufeffa red cat\r\n a cat, 5" tall ', {}),
        ("own.csv", 'Prompts,Kind\na red cat,x\n" a cat, 5"" tall ",y\n', {"category_column": "Kind"}),
        ("own.tsv", 'Note\tPrompt\n\ta red cat\n"\t a cat, 5" tall \n', {}),
        ("own.jsonl", '{"prompt": "a red cat"}\n{"prompt": " a cat, 5\\" tall ", "x": 1}\n', {}),
        ("own.csv", 'a,b\n1,a red cat\n2," a cat, 5"" tall "\n', {"text_column": "b"}),
    ],
)
def test_reads_every_format_word_for_word(
    tmp_path: Path, name: str, content: str, fields: dict[str, str | None]
) -> None:
    prompts = load_prompts(config(written(tmp_path, name, content), **fields))
    assert [prompt.text for prompt in prompts] == ["a red cat", ' a cat, 5" tall ']
    expected = ["x", "y"] if "category_column" in fields else ["uncategorised"] * 2
    assert [prompt.category for prompt in prompts] == expected


@pytest.mark.parametrize(
    ("name", "content", "line", "what"),
    [
        ("own.txt", "a cat\n\na dog\n", 2, "empty"),
        ("own.txt", "a cat\n   \n", 2, "empty"),
        ("own.csv", "prompt\na cat\n\na dog\n", 3, "empty"),
        ("own.csv", "n,prompt\n1,a cat\n2,\n", 3, "empty"),
        ("own.jsonl", '{"prompt": "a cat"}\n{"prompt": ""}\n', 2, "empty"),
        ("own.jsonl", '{"prompt": "a cat"}\n{"prompt": "a cat \\ud83d"}\n', 2, "half of a character"),
        ("own.txt", "a cat\na dog\nA  CAT\n", 3, "line 1"),
        ("own.csv", "prompt\na cat\na dog\na cat \n", 4, "line 2"),
        ("own.txt", b"a cat\ncaf\xe9 terrace\n", 2, "UTF-8"),
        ("own.csv", "n,prompt\n1,a cat, sitting\n", 2, "3 fields"),
        ("own.csv", "n,prompt,note\n1,a cat\n", 2, "note missing"),
        ("own.tsv", "prompt\tnote\na cat\tx\na dog\ty\tz\n", 3, "3 fields"),
        ("own.tsv", "prompt\tnote\na cat\n", 2, "note missing"),
        ("own.csv", 'n,prompt\n1,a cat\n2,"a dog\n3,a fox\n', 3, "quote"),
        ("own.csv", 'n,prompt\n1,a cat\n2,"a dog" barks\n', 3, "quote"),
        ("own.csv", 'n,prompt\n1,a cat\n2,"a dog\n3,a fox"\n', 3, "2 lines"),
        ("own.jsonl", '{"prompt": "a cat"}\n{"prompt": "a dog"\n', 2, "not JSON"),
        ("own.jsonl", '{"prompt": "a cat"}\n["a dog"]\n', 2, "object"),
        ("own.jsonl", '{"prompt": "a cat"}\n{"Text": "a dog"}\n', 2, "prompt is missing"),
        ("own.jsonl", '{"prompt": "a cat"}\n{"prompt": 7}\n', 2, "no text"),
    ],
)
def test_defect_is_refused_with_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, line: int, what: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        load_prompts(config(path, text_column="prompt" if path.suffix == ".jsonl" else None))
    assert f"{path}, line {line}: " in str(caught.value)
    assert what in str(caught.value)


def test_damaged_csv_names_the_first_line_of_every_kind_of_damage(tmp_path: Path) -> None:
    path = written(tmp_path, "damaged.csv", DAMAGED_CSV)
    with pytest.raises(DataError) as caught:
        load_prompts(config(path))
    message = str(caught.value)
    assert f"{path}, line 2: 2 of 4 fields, translation, remark missing" in message
    assert "2 more damaged lines" in message
    assert "line 3: 5 fields" in message
    assert "line 5: a quote that opens here is not closed, it swallows the lines to 7" in message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text_column": "Promt"}, ["text_column=Promt", "number, a, b"]),
        ({"category_column": "kind"}, ["category_column=kind", "number, a, b"]),
        ({}, ["text_column", "number, a, b"]),
    ],
)
def test_missing_column_lists_those_there(tmp_path: Path, fields: dict[str, str], words: list[str]) -> None:
    fields = fields if "category_column" not in fields else {"text_column": "a", **fields}
    with pytest.raises(DataError) as caught:
        load_prompts(config(written(tmp_path, "own.csv", "number,a,b\n1,x,y\n"), **fields))
    assert all(word in str(caught.value) for word in words)


def test_two_possible_text_columns_are_not_guessed_between(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prompt, caption"):
        load_prompts(config(written(tmp_path, "own.csv", "prompt,caption\nx,y\n")))


@pytest.mark.parametrize("content", ["", "\n\n", "prompt\n"])
def test_file_without_prompts_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError):
        load_prompts(config(written(tmp_path, "own.csv", content), empty="leave_out"))


def test_utf_16_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_bytes("a cat".encode("utf-16-le"))
    with pytest.raises(DataError, match=r"own\.txt holds zero bytes, as a file in UTF-16 does; save the file as UTF-8"):
        all_prompts(PromptsConfig("file", path=str(tmp_path / "own.txt")))


def test_missing_file_and_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_prompts(config(tmp_path / "none.txt"))
    with pytest.raises(DataError, match=r"\.jsonl"):
        load_prompts(config(written(tmp_path, "own.xlsx", "a cat")))


def test_published_sets_may_leave_out_repeated_and_empty_prompts_and_count_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, "published.csv", "n,caption\n0,sunflower\n1,\n2,a cat\n3,Sunflower\n")
    with caplog.at_level(logging.WARNING):
        prompts = load_prompts(config(path, duplicates="keep_first", empty="leave_out"))
    assert [prompt.text for prompt in prompts] == ["sunflower", "a cat"]
    assert "left out 1 without text (line 3)" in caplog.text
    assert "left out 1 repeated (line 5)" in caplog.text


def test_repeated_prompts_are_kept_only_for_images_of_their_own(tmp_path: Path) -> None:
    kept = config(written(tmp_path, "own.txt", "a cat\na dog\nA  cat\n"), duplicates="keep")
    assert [prompt.text for prompt in all_prompts(kept)] == ["a cat", "a dog", "A  cat"]
    for load in (load_prompts, load_training_prompts):
        with pytest.raises(ConfigError, match=r"prompts\.duplicates=keep: .* choose refuse or keep_first"):
            load(kept)


def test_leniency_for_duplicates_does_not_hide_other_damage(tmp_path: Path) -> None:
    path = written(tmp_path, "published.csv", "n,caption\n0,cat\n1,cat\n2,dog,fox\n")
    with pytest.raises(DataError, match="line 4"):
        load_prompts(config(path, duplicates="keep_first", empty="leave_out"))
