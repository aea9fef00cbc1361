"""Stage score: which prompt an image shows by a table, a benchmark's layout or its position, and what is not read."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from unit.generation import fakes
from unit.generation.fakes import Run, ScorerConfig

from goldennoise.data.prompts import PromptsConfig
from goldennoise.errors import DataError
from goldennoise.runtime.seeding import prompt_id
from goldennoise.stages.score import Config, run

TEXTS = {"b.png": "a red circle", "a.png": "a blue square", "10.png": "A Red  circle"}
CSV = "file_name,text\n" + "".join(f"{name},{text}\n" for name, text in TEXTS.items())


@pytest.fixture(autouse=True)
def _components(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


def fill(folder: Path, files: Mapping[str, str | None] | Sequence[str]) -> None:
    """Images, all different, for names without content; files with it for others."""
    contents: Mapping[str, str | None] = files if isinstance(files, Mapping) else dict.fromkeys(files)
    for number, (name, content) in enumerate(contents.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Image.fromarray(np.full((4, 4, 3), number, dtype=np.uint8)).save(folder / name)
        else:
            (folder / name).write_text(content)


def score(images: Path, prompts: Sequence[str] | None = None, images_per_prompt: int = 1, **fields: Any) -> Any:
    """The artifact; prompts: None takes those of the folder, as stage=score does by default."""
    path = images
    if prompts is not None:
        path = images.parent / "prompts.txt"
        path.write_text("\n".join(prompts))
    config: Any = PromptsConfig(**{"kind": "file", "path": str(path), "duplicates": "keep"} | fields)
    stage = Config(images=str(images), images_per_prompt=images_per_prompt)
    outputs = str(images.parent / "outputs")
    return run(Run(stage, outputs, {}, {"grey": ScorerConfig("brightness")}, prompts=config))  # type: ignore[arg-type]


def pairs(artifact: Any) -> list[tuple[str, str]]:
    table = pd.read_parquet(artifact.path / "scores.parquet")
    return list(zip(table["image"], table["prompt"], strict=True))


@pytest.mark.parametrize(
    ("table", "content"),
    [
        ("metadata.csv", CSV),
        ("metadata.csv", CSV.replace("text", "Caption,text").replace(".png,", ".png,x,")),
        ("metadata.jsonl", "\n".join(json.dumps({"file_name": f"./{n}", "prompt": t}) for n, t in TEXTS.items())),
    ],
)
def test_a_table_in_the_folder_says_which_text_belongs_to_which_image(images: Path, table: str, content: str) -> None:
    fill(images, {**dict.fromkeys(TEXTS), table: content})
    column = {"text_column": "text"} if "Caption" in content else {}
    assert pairs(score(images, **column)) == [(name, TEXTS[name]) for name in ("10.png", "a.png", "b.png")]


def test_a_category_column_of_the_table(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(images, {"a.png": None, "b.png": None, "metadata.csv": "file_name,text,kind\na.png,x,one\nb.png,y,two\n"})
    score(images, category_column="kind")
    assert "    one: 0.0000\n" in capsys.readouterr().out
    assert pairs(score(images, category_column="kind", category="two")) == [("b.png", "y")]


def geneval(count: int = 2) -> dict[str, str | None]:
    """GenEval's own layout: folders in the order of the prompts, samples and a grid in each."""
    records = [{"tag": "counting", "include": [], "prompt": "two clocks"}, {"tag": "colors", "prompt": "a red cow"}]
    files: dict[str, str | None] = {}
    for number, record in enumerate(records):
        files |= {f"{number:05d}/samples/{image:05d}.png": None for image in range(count)}
        files |= {f"{number:05d}/metadata.jsonl": json.dumps(record), f"{number:05d}/grid.png": None}
    return files


@pytest.mark.parametrize("given", [True, False])
def test_genevals_own_layout(
    images: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, given: bool
) -> None:
    fill(images, geneval())
    fill(
        images.parent, {"tasks.jsonl": '{"prompt": "a red cow", "tag": "colors"}\n{"prompt": "Two clocks", "tag": "n"}'}
    )
    file = {"path": str(images.parent / "tasks.jsonl"), "text_column": "prompt", "category_column": "tag"}
    found = pairs(score(images, **(file if given else {})))
    clocks = "Two clocks" if given else "two clocks"
    assert found == [
        ("00000/samples/00000.png", clocks), ("00000/samples/00001.png", clocks),
        ("00001/samples/00000.png", "a red cow"), ("00001/samples/00001.png", "a red cow"),
    ]  # fmt: skip
    assert f"    {'n' if given else 'counting'}: 0." in capsys.readouterr().out
    assert "images: 2 files are not read (00000/grid.png, 00001/grid.png)" in caplog.text


def test_a_folder_of_genevals_layout_without_its_record_is_named(images: Path) -> None:
    fill(images, geneval())
    (images / "00001/metadata.jsonl").unlink()
    with pytest.raises(DataError, match=r"00001/samples/00000\.png has no 00001/metadata\.jsonl"):
        score(images)
    (images / "00001/metadata.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    with pytest.raises(DataError, match=r"00001/metadata\.jsonl holds 2 records"):
        score(images)


@pytest.mark.parametrize("given", [True, False])
def test_t2i_compbenchs_own_layout(images: Path, caplog: pytest.LogCaptureFixture, given: bool) -> None:
    names = ["a red bird_000000.png", "a red bird_000001.png", "a blue_green cup_000002.png"]
    fill(images, [*(f"samples/{name}" for name in names), "a red bird-grid-00000.png"])
    fill(images, {"annotation/result.json": "{}"})
    found = pairs(score(images, ["a red bird", "a blue_green cup"] if given else None))
    assert [(name.removeprefix("samples/"), text) for name, text in found] == [
        (names[2], "a blue_green cup"), (names[0], "a red bird"), (names[1], "a red bird")
    ]  # fmt: skip
    assert "2 files are not read (a red bird-grid-00000.png, annotation/result.json)" in caplog.text
    assert [text for _, text in pairs(score(images / "samples"))] == [text for _, text in found]


def test_names_of_one_word_are_no_texts(images: Path) -> None:
    fill(images, ["samples/img_000000.png", "samples/img_000001.png"])
    with pytest.raises(DataError, match=r"prompts\.path=FILE"):
        score(images)
    assert pairs(score(images, ["a cat", "a dog"])) == [
        ("samples/img_000000.png", "a cat"), ("samples/img_000001.png", "a dog")
    ]  # fmt: skip


def test_without_a_table_the_prompts_are_asked_for(images: Path) -> None:
    fill(images, ["0.png", "1.png"])
    with pytest.raises(DataError) as caught:
        score(images)
    assert "images: nothing in the folder says which prompt an image shows; give them with prompts.path=FILE" in str(
        caught.value
    )
    assert "metadata.csv" in str(caught.value)


def test_a_file_of_prompts_gives_the_categories_of_a_table(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(images, {**dict.fromkeys(TEXTS), "metadata.csv": CSV})
    fill(images.parent, {"prompts.csv": "Prompts,kind\na blue square,square\na red circle,circle\n"})
    file = {"path": str(images.parent / "prompts.csv"), "text_column": "Prompts", "category_column": "kind"}
    assert [text for _, text in pairs(score(images, **file))] == ["a red circle", "a blue square", "a red circle"]
    assert "    circle: " in capsys.readouterr().out
    assert pairs(score(images, category="square", **file)) == [("a.png", "a blue square")]


def test_a_text_that_is_not_in_the_file_is_refused_with_its_image(images: Path) -> None:
    fill(images, {**dict.fromkeys(TEXTS), "metadata.csv": CSV})
    with pytest.raises(DataError) as caught:
        score(images, ["a red circle", "a green square", "a red circle"])
    expected = 'a.png shows "a blue square" by metadata.csv, which is not among the prompts of '
    assert expected in str(caught.value)
    assert "prompts.txt" in str(caught.value)


def test_a_prompt_without_an_image_is_told(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(images, {**dict.fromkeys(TEXTS), "metadata.csv": CSV})
    score(images, ["a red circle", "a blue square", "a star", "two stars"])
    assert 'prompts.txt: 2 prompts have no image, the first is "a star"' in caplog.text


@pytest.mark.parametrize(
    ("names", "image", "meant"),
    [
        (["a blue square_000000.png", "a red circle_000000.png"], "a blue square_000000.png", "a blue square"),
        (["a-blue-square-1.png", "z.png"], "a-blue-square-1.png", "a blue square"),
        (["A_Blue_Square.png", "a_red_circle.png"], "A_Blue_Square.png", "a blue square"),
        (["a blue square/0.png", "a red circle/0.png"], "a blue square/0.png", "a blue square"),
        (["0_a_blue_square.png", "1_a_red_circle.png"], "0_a_blue_square.png", "a blue square"),
        (["0-11-a blue square.png", "1-12-a red circle.png"], "0-11-a blue square.png", "a blue square"),
        (["a blue square_seed0.png", "a red circle_seed0.png"], "a blue square_seed0.png", "a blue square"),
        (["user_a_blue_square_0f3a-v2.png", "z.png"], "user_a_blue_square_0f3a-v2.png", "a blue square"),
    ],
)
def test_a_file_that_is_called_like_another_prompt_is_refused(
    images: Path, names: list[str], image: str, meant: str
) -> None:
    fill(images, names)
    with pytest.raises(DataError) as caught:
        score(images, ["a red circle", "a blue square"])
    assert (
        f'{image} is called like the prompt "{meant}", but its place in the order of names gives it "a red circle"'
    ) in str(caught.value)
    assert "metadata.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "prompts"),
    [
        (["a blue square_0.png", "a red circle_0.png"], ["A blue  square", "a red circle"]),
        (["0.png", "1.png"], ["1", "0"]),
        (["a cat.png", "b.png"], ["a cat!", "a cat"]),
        (["a cat_1.png", "a cat_2.png"], ["a cat 1", "a cat 2"]),
        (["a cat_0.png", "a cat_1.png"], ["a cat", "A cat"]),
        (["image_0.png", "image_1.png"], ["a dog", "a cat"]),
        (["a cat and a dog.png", "x.png"], ["a cat and a dog", "a cat"]),
        (["cat photo 1.png", "dog photo 1.png"], ["dog", "cat"]),
    ],
)
def test_names_that_say_nothing_else_leave_the_order(images: Path, names: list[str], prompts: list[str]) -> None:
    fill(images, names)
    assert pairs(score(images, prompts)) == list(zip(names, prompts, strict=True))


def test_images_of_our_own_belong_to_the_prompt_whose_id_they_have(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["a red circle", "a blue square", "two stars"]
    names = {f"{prompt_id(text)}-{seed}.png": text for text in texts for seed in (0, 1)}
    fill(images, list(names))
    assert dict(pairs(score(images, [*texts, "a star"]))) == names
    assert 'prompts.txt: 1 prompt has no image, the first is "a star"' in caplog.text
    with pytest.raises(DataError, match=r"-0\.png shows none of these prompts by the id in its name"):
        score(images, ["a cat", "a red circle", "two stars", "a", "b", "c"])


def test_every_file_that_is_not_read_is_counted_and_named(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = ["grid.png", ".hidden.png", "notes.txt", "x/.git/config", "grid-0001.png", "side_by_side.png", "b.bmp"]
    fill(images, {"0.png": None, "1.png": None, **dict.fromkeys(others, "text")})
    assert len(pairs(score(images, ["a cat", "a dog"]))) == 2
    named = ".hidden.png, b.bmp, grid.png, grid-0001.png, notes.txt, ..."
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{images}: 7 files are not read ({named})"
    ]


@pytest.mark.parametrize("path", ["prompts.txt", "prompts"])
def test_prompts_in_the_folder_of_images_are_read(images: Path, caplog: pytest.LogCaptureFixture, path: str) -> None:
    fill(images, {"0.png": None, "prompts.txt": "a cat", "prompts/0.txt": "a cat", "prompts/notes.md": ""})
    assert pairs(score(images, path=str(images / path))) == [("0.png", "a cat")]
    others = "prompts/0.txt, prompts/notes.md" if path == "prompts.txt" else "prompts.txt, prompts/notes.md"
    assert f"images: 2 files are not read ({others})" in caplog.text


def test_with_a_table_images_that_it_does_not_name_are_not_read(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(images, {**dict.fromkeys(TEXTS), "metadata.csv": CSV, "c.png": None, "grid.png": None})
    (images / "metadata.csv").write_text(CSV + "grid.png,a grid\n")
    assert ("grid.png", "a grid") in pairs(score(images))
    assert "images: 1 file is not read (c.png)" in caplog.text


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (CSV + "gone.png,a star\n", "metadata.csv, line 5: there is no file gone.png in the folder"),
        (CSV + "../images/a.png,a star\n", "metadata.csv, line 5: there is no file ../images/a.png in the folder"),
        (CSV + "/etc/passwd,a star\n", "metadata.csv, line 5: there is no file /etc/passwd in the folder"),
        (CSV + "x" * 5000 + ",a star\n", "metadata.csv, line 5: there is no file xxx"),
        (CSV + ",a star\n", "metadata.csv, line 5: file_name is empty or no text"),
        (CSV + "./a.png,a star\n", "metadata.csv, line 5: ./a.png stands on line 3 as well"),
        (CSV.replace("circle", ""), "metadata.csv, line 2"),
        (CSV.replace("a blue square", ""), "metadata.csv, line 3: empty"),
        (CSV.replace("file_name", "image"), "metadata.csv has no column file_name (there are image, text)"),
        (CSV.replace("text", "file_name"), "metadata.csv, line 1: the header names file_name twice"),
        (CSV.replace("text", "words"), "metadata.csv: no known column holds the prompts"),
        ("file_name,text\n", "metadata.csv holds no rows"),
    ],
)
def test_a_table_is_read_strictly(images: Path, table: str, expected: str) -> None:
    fill(images, {**dict.fromkeys(TEXTS), "metadata.csv": table.replace("a red ,", "").replace("a red \n", "\n")})
    with pytest.raises(DataError) as caught:
        score(images)
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("path", ["x" * 300 + ".txt", "a\0b.txt", "loop.txt", "gone.txt", "."])
def test_prompts_that_cannot_be_read_are_a_sentence(images: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    fill(images, ["0.png"])
    monkeypatch.chdir(images.parent)
    Path("loop.txt").symlink_to("loop.txt")
    with pytest.raises(DataError, match=r"cannot be read|no such file|holds no \.txt file"):
        score(images, path=path)


def test_folders_whose_texts_are_all_empty(images: Path) -> None:
    fill(images, {"a.png": None, "metadata.csv": "file_name,text\na.png,\n"})
    with pytest.raises(DataError, match=r"no image has a text by metadata\.csv"):
        score(images, empty="leave_out")


def test_two_tables_are_one_too_many(images: Path) -> None:
    fill(images, {"a.png": None, "metadata.csv": CSV, "metadata.jsonl": "{}"})
    with pytest.raises(DataError, match=r"holds metadata\.csv and metadata\.jsonl; keep one"):
        score(images)


def test_a_table_of_empty_texts_may_leave_them_out(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(images, {**dict.fromkeys(TEXTS), "metadata.csv": CSV.replace("a blue square", "")})
    assert [image for image, _ in pairs(score(images, empty="leave_out"))] == ["10.png", "b.png"]
    assert "1 file is not read (a.png)" in caplog.text


def test_the_pairing_decides_the_identity_and_nothing_else(images: Path) -> None:
    fill(images, {"0.png": None, "1.png": None})
    by_position = score(images, ["a cat", "a dog"])
    fill(images, {"metadata.csv": "file_name,text\n1.png,a dog\n0.png,a cat\n"})
    assert score(images).reference == by_position.reference
    (images / "metadata.csv").write_text("file_name,text\n0.png,a dog\n1.png,a cat\n")
    assert score(images).version == "v2"


@pytest.mark.parametrize("folder", ["é", "日本", "it's", "a & b", "#1", "a=b, [c] {d}", "$x"])
def test_folders_of_any_name_behind_links_and_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / "elsewhere", {"a.png": None})
    fill(tmp_path / folder, {"0.png": None})
    (tmp_path / folder / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / folder / "linked" / "back").symlink_to(tmp_path / folder)
    (tmp_path / "link").symlink_to(tmp_path / folder)
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    config = Run(
        Config(images=f"~/{folder}"), str(tmp_path / "outputs"), {}, {"grey": ScorerConfig("brightness")},
        prompts=PromptsConfig("file", path="~/prompts.txt", duplicates="keep"),  # type: ignore[arg-type]
    )  # fmt: skip
    expected = [("0.png", "a cat"), ("linked/a.png", "a dog")]
    assert pairs(run(config)) == expected
    assert run(replace(config, stage=Config(images="~/link"))).version == "v1"


def test_a_name_that_is_no_text_is_still_told(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(images, {"0.png": None})
    Path(os.fsdecode(os.fsencode(images) + b"/\xff.txt")).touch()
    (images / "two\nlines.txt").touch()
    score(images, ["a cat"])
    assert r"images: 2 files are not read (two\nlines.txt, \udcff.txt)" in caplog.text
