"""Prompt files, tables and images with random damage: they are read, or refused in one sentence of ours."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from goldennoise.data.captioned_images import Folder
from goldennoise.data.images import image_digests, read_image
from goldennoise.data.pairing import paired
from goldennoise.data.prompts import PromptsConfig
from goldennoise.data.prompts.files import prompts_of_file
from goldennoise.errors import GoldenNoiseError
from goldennoise.scorers.geneval.tasks import read_tasks

TASK = {"tag": "position", "prompt": "a photo", "include": [{"class": "cow", "count": 1}],
        "exclude": [{"class": "cow", "count": 2, "position": ["above", 0]}]}  # fmt: skip
PROMPT_FILES = {
    "a.txt": "a red cat\na dog, 5\" tall\n",
    "a.csv": 'n,prompt,kind\n1,"a cat, red",x\n2,a dog,y\n',
    "a.tsv": "prompt\tkind\na cat\tx\na dog\ty\n",
    "a.jsonl": '{"prompt": "a cat", "kind": "x", "n": 1}\n{"prompt": "a dog", "kind": "\\ud83d\\ude00"}\n',
    "a.json": json.dumps({"prompts": [{"prompt": "a cat", "kind": "x"}, {"prompt": "a dog", "kind": "y", "n": 7}]}),
    "texts.json": json.dumps(["a cat", "a dog"], indent=1),
    "tasks.jsonl": json.dumps(TASK) + "\n" + json.dumps(TASK | {"prompt": "two"}),
    "metadata.csv": 'file_name,text\n0.png,"a cat, red"\n0.png,a dog\n',
    "metadata.jsonl": '{"file_name": "0.png", "text": "a cat"}\n',
}  # fmt: skip
PIECES = [
    *(b"", b"\n", b"\r", b"\t", b" ", b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b"\\", b",", b"{", b"}", b"[", b"]", b":"),
    *(b"/", b"../", b"null", b"true", b"-1e999", b"NaN", b"\\ud800", "é日本\u2028".encode(), b'{"a": 1, "a": 2}'),
    *(b"[" * 2000, b"9" * 5000, b"x" * 300, b"a\xcc\x81" * 50, b"\xcc\x81" * 2000, b"prompt", b'"prompt"'),
]


def damaged(content: bytes, dice: random.Random, pieces: list[bytes]) -> bytes:
    """With a few pieces cut out, put in, repeated or changed, or with its end cut off; often where a value begins."""
    for _ in range(dice.randint(1, 3)):
        start = dice.randrange(len(content) + 1)
        if dice.random() < 0.5:
            start = max(content.rfind(mark, 0, start) for mark in (b": ", b",", b"\n")) + 1
        end = min(len(content), start + dice.choice([0, 1, 1, 4, 30]))
        put = dice.choice([*pieces, content[start:end] * 2, bytes([dice.randrange(256)])])
        content = content[:start] + put + (b"" if dice.random() < 0.1 else content[end:])
    return content


def refused_or_read(read: Callable[[], object], what: object) -> None:
    sentence = ""
    try:
        read()
    except GoldenNoiseError as error:
        sentence = str(error)
    assert "\n" not in sentence, what
    assert len(sentence) < 1500, what


@pytest.mark.parametrize("name", PROMPT_FILES)
def test_damaged_prompt_files(tmp_path: Path, name: str) -> None:
    dice = random.Random(name)
    Image.new("RGB", (2, 2)).save(tmp_path / "0.png")
    path, own = tmp_path / name, PromptsConfig("file", path=str(tmp_path))
    for _ in range(25):
        path.write_bytes(damaged(PROMPT_FILES[name].encode(), dice, PIECES))
        content = path.read_bytes()
        for lenient in ({}, {"duplicates": "keep_first", "empty": "leave_out", "category_column": "kind"}):
            config = PromptsConfig("file", path=str(path), **lenient)  # type: ignore[arg-type]
            refused_or_read(lambda config=config: prompts_of_file(config), content)
        refused_or_read(lambda: read_tasks(path), content)
        refused_or_read(lambda: paired(tmp_path, own, 1), content)
        refused_or_read(lambda: Folder(str(tmp_path)).digest(), content)


def test_damaged_parquet(tmp_path: Path) -> None:
    dice, path = random.Random(0), tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"prompt": ["a cat", "a dog"] * 9, "kind": [*range(18)]}), path)
    whole = path.read_bytes()
    for _ in range(200):
        path.write_bytes(damaged(whole, dice, PIECES))
        refused_or_read(lambda: prompts_of_file(PromptsConfig("file", path=str(path))), path.read_bytes())


def encoded(**options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a title"
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    stream = io.BytesIO()
    image = Image.fromarray(pixels).convert(str(options.pop("mode", "RGB")))
    image.save(stream, exif=exif, **options)  # type: ignore[arg-type]
    return stream.getvalue()


IMAGES = {
    "rgb.png": {"format": "PNG"},
    "palette.png": {"format": "PNG", "mode": "P", "transparency": 3},
    "a.jpg": {"format": "JPEG"},
    "progressive.jpg": {"format": "JPEG", "progressive": True},
    "a.webp": {"format": "WEBP"},
    "lossless.webp": {"format": "WEBP", "lossless": True, "mode": "RGBA"},
}


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_images(tmp_path: Path, name: str) -> None:
    dice, whole = random.Random(name), encoded(**IMAGES[name])
    for _ in range(40):
        content = damaged(whole, dice, [b"", b"\0", b"\xff" * 4, b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80"])
        (tmp_path / name).write_bytes(content)
        refused_or_read(lambda: image_digests(tmp_path, [name], lambda: None), content)
        refused_or_read(lambda: read_image(tmp_path / name, upright=True), content)
