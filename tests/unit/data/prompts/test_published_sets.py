"""Published sets in the forms they come in, and the SHA-256 that says which one a file is."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from goldennoise.data.prompts import Prompt, PromptsConfig, load_prompts
from goldennoise.data.prompts.content import content_digest, described
from goldennoise.errors import ConfigError, DataError


def read(path: Path, **fields: Any) -> list[Prompt]:
    return load_prompts(PromptsConfig("file", path=str(path), **fields))


def lists(folder: Path, **files: str | bytes) -> Path:
    """A folder of lists; `_json` at the end of a name is its suffix."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_a_folder_of_json_lists_has_the_files_as_categories(tmp_path: Path) -> None:
    folder = lists(tmp_path / "hpd", photo_json='["a boat", "a car"]', anime_json='["a robot, \\"blue\\""]')
    prompts = read(folder, folder="lists", category_column="list")
    expected = [('a robot, "blue"', "anime"), ("a boat", "photo"), ("a car", "photo")]
    assert [(prompt.text, prompt.category) for prompt in prompts] == expected


def test_a_folder_of_text_lists_has_one_prompt_a_line(tmp_path: Path) -> None:
    folder = lists(tmp_path / "t2i", color_txt=b"a red car\r\na blue bowl\r\n", shape_txt=b"a round box")
    prompts = read(folder, folder="lists", category_column="list")
    assert [prompt.text for prompt in prompts] == ["a red car", "a blue bowl", "a round box"]
    assert [prompt.category for prompt in prompts] == ["color", "color", "shape"]
    with pytest.raises(DataError, match=r"t2i, file color\.txt: a prompt over 2 lines"):
        read(folder)


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ('["a boat", " "]', "sets, row 2 of photo.json: empty; write a prompt there or delete the row"),
        ('["a boat", "A  ROBOT"]', "sets, row 2 of photo.json: the same prompt as row 1 of anime.json"),
        ('["a boat", 7]', "sets, row 2 of photo.json: a JSON int instead of a text"),
        ('["a boat",\n', "photo.json, line 2: not JSON at column 1"),
        (b'["caf\xe9"]', "photo.json, line 1: byte 6 of the line (0xe9) is not UTF-8"),
    ],
)
def test_a_folder_of_lists_is_read_strictly(tmp_path: Path, photo: str | bytes, expected: str) -> None:
    folder = lists(tmp_path / "sets", anime_json='["a robot"]', photo_json=photo)
    with pytest.raises(DataError) as caught:
        read(folder, folder="lists")
    assert expected in str(caught.value)


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sets holds no list of prompts; a list ends in \.txt, \.csv"):
        read(lists(tmp_path / "sets", notes_md=""), folder="lists")
    with pytest.raises(DataError, match="nowhere: no such file; stage=fetch gets published prompts"):
        read(tmp_path / "nowhere", folder="lists")


def test_objects_whose_texts_end_in_a_line_end_and_differ_in_their_keys(tmp_path: Path) -> None:
    texts = [
        {"id": "coco_1", "caption": "Two boats.\n", "coco_val_id": "7"},
        {"id": "drawbench_2", "caption": "A car."},
    ]
    (tmp_path / "tifa.json").write_text(json.dumps(texts, indent=4))
    prompts = read(tmp_path / "tifa.json")
    assert [prompt.text for prompt in prompts] == ["Two boats.", "A car."]
    assert prompts[0].metadata == {"id": "coco_1", "coco_val_id": "7"}


def test_a_whole_number_is_a_category_and_questions_go_with_the_prompt(tmp_path: Path) -> None:
    row = {"prompt": "two cats", "atom_count": 3, "vqa_list": [["How many cats?", "two"]], "skills": ["count"]}
    (tmp_path / "geneval2.jsonl").write_text(json.dumps(row) + "\n")
    (prompt,) = read(tmp_path / "geneval2.jsonl", category_column="atom_count")
    assert (prompt.category, prompt.metadata["vqa_list"]) == ("3", [["How many cats?", "two"]])
    (tmp_path / "geneval2.jsonl").write_text(json.dumps(row | {"atom_count": True}) + "\n")
    with pytest.raises(DataError, match="line 1: atom_count is missing or no text"):
        read(tmp_path / "geneval2.jsonl", category_column="atom_count")


def table(path: Path, **columns: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_rows_keep_what_stands_beside_the_text_except_bytes(tmp_path: Path) -> None:
    images = [{"bytes": b"\xff", "path": "0.jpg"}] * 2
    path = table(tmp_path / "a.parquet", caption=["a cat", "a dog\n"], kind=[1, 2], best=[0.5, None], jpg_0=images)
    prompts = read(path, category_column="kind")
    assert [(prompt.text, prompt.category) for prompt in prompts] == [("a cat", "1"), ("a dog", "2")]
    assert [prompt.metadata for prompt in prompts] == [{"kind": 1, "best": 0.5}, {"kind": 2, "best": None}]


def test_parquet_is_read_strictly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet, row 2: caption is missing or no text"):
        read(table(tmp_path / "a.parquet", caption=["a cat", None]))
    with pytest.raises(DataError, match=r"a\.parquet, row 2: the same prompt as row 1"):
        read(table(tmp_path / "a.parquet", caption=["a cat", "A CAT"]))
    whole = table(tmp_path / "a.parquet", caption=["a cat"]).read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:-5])
    with pytest.raises(DataError, match=r"a\.parquet is no whole Parquet file \("):
        read(tmp_path / "a.parquet")
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a cat"])] * 2, names=["caption", "caption"])
    parquet.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: the columns caption stand there twice"):
        read(tmp_path / "a.parquet")


def test_another_content_than_the_declared_one_is_refused_with_both_hashes(tmp_path: Path) -> None:
    path = tmp_path / "set.txt"
    path.write_text("a cat\n")
    declared = hashlib.sha256(b"a cat\n").hexdigest()
    assert len(read(path, sha256=declared)) == 1
    path.write_text("a cat\na dog\n")
    found = hashlib.sha256(b"a cat\na dog\n").hexdigest()
    with pytest.raises(DataError) as caught:
        read(path, sha256=declared)
    assert str(caught.value) == (
        f"{path} is not the published set: its SHA-256 is {found}, not {declared}; get it again with stage=fetch "
        "stage.replace=true, or set prompts.sha256=null for a file of your own"
    )
    assert len(read(path)) == 2
    with pytest.raises(ConfigError, match=r"^sha256=ABC: sha256 must be null or 64 hex digits"):
        PromptsConfig(sha256="ABC")


def test_the_digest_of_a_folder_is_what_a_shell_computes(tmp_path: Path) -> None:
    folder = lists(tmp_path / "sets", **{"2_txt": "a cat", "10_txt": "a dog", "B_txt": "a fox", "a_txt": "an owl"})
    command = "LC_ALL=C sha256sum * | sha256sum"
    shell = subprocess.run(command, cwd=folder, shell=True, executable="/bin/bash", env={"LC_ALL": "C"},
                           capture_output=True, text=True, check=True).stdout.split()[0]  # fmt: skip
    lists(folder, notes_md="", list_json='["a hen"]')
    assert content_digest(folder) == shell
    assert content_digest(folder, "lists") != shell
    assert len(read(folder, sha256=shell)) == 4
    (folder / "a.txt").rename(folder / "c.txt")
    with pytest.raises(DataError, match="sets is not the published set"):
        read(folder, sha256=shell)


def test_a_set_is_told_by_name_version_and_content(tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_text("a cat\n")
    digest = hashlib.sha256(b"a cat\n").hexdigest()[:12]
    own = PromptsConfig("file", path=str(tmp_path / "set.txt"))
    assert described(own) == f"set.txt (SHA-256 {digest})"
    published = PromptsConfig("file", path=own.path, version="v1", category="Colors")
    assert described(published) == f"set.txt (version v1, SHA-256 {digest}), category Colors"
    assert described(PromptsConfig(split="benchmark")) == "the shapes world, split benchmark"
    assert described(PromptsConfig(tones=True)) == "the shapes world, split train, with tones"
