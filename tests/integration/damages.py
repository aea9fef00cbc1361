"""Damages of files, drawn from a seed: cut, flipped, replaced, and by format: whole files with another content."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from integration.damaged_weights import code_instead, edited_safetensors, edited_torch
from integration.edits import edited, replaced
from PIL import Image

Damage = Callable[[random.Random, Path], None]
"""Changes the file; a file that is none of its format is left as it is."""


def truncated(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    replaced(
        path,
        content[: rng.choice((0, 1, 8, len(content) // 2, max(len(content) - 1, 0), rng.randint(0, len(content))))],
    )


def flipped(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    ends = min(len(content), rng.choice((64, 1024, len(content))))
    for _ in range(rng.choice((1, 1, 8, 64)) if content else 0):
        content[rng.randrange(ends)] ^= 1 << rng.randrange(8)
    replaced(path, bytes(content))


def junk(rng: random.Random, path: Path) -> None:
    replaced(path, rng.randbytes(rng.choice((1, 10, 1000, 100_000))))


def text_instead(rng: random.Random, path: Path) -> None:
    texts = (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "<!doctype html>\n",
        "{}",
        "[]",
        "null",
    )
    replaced(path, rng.choice((*texts, "\n", '"', "é", "nan", "{" * 10_000, "[" * 200_000)).encode())


def folder_instead(rng: random.Random, path: Path) -> None:
    path.unlink()
    path.mkdir()
    if rng.random() < 0.5:
        (path / "inside.txt").write_text("a red circle\n")


def deleted(_: random.Random, path: Path) -> None:
    path.unlink()


def link_to_nothing(_: random.Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nothing"))


def neighbour(rng: random.Random, path: Path) -> None:
    """The content of another file beside it, or of its folder's neighbours."""
    others = [other for other in sorted(path.parent.parent.rglob("*")) if other.is_file() and other != path]
    replaced(path, rng.choice(others).read_bytes())


def longer(rng: random.Random, path: Path) -> None:
    replaced(
        path, path.read_bytes() + rng.choice((b"\n", b"\0", b"x", b"\0" * 5000, rng.randbytes(100), b"\n{}\n", b"\xff"))
    )


def edited_json(rng: random.Random, path: Path) -> None:
    """One place of a JSON file, at any depth, left out, renamed or of another type; or the whole of it."""
    if path.suffix == ".jsonl":
        lines = path.read_text("utf-8").splitlines()
        place = rng.randrange(len(lines))
        lines[place] = json.dumps(edited(rng, json.loads(lines[place])))
        replaced(path, ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"))
        return
    content = json.loads(path.read_text("utf-8"))
    for _ in range(rng.choice((1, 1, 1, 3))):
        content = edited(rng, content)
    replaced(path, json.dumps(content, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))


def edited_table(rng: random.Random, path: Path) -> None:
    """A Parquet file with a column or rows that are missing, out of range, of another type, or repeated."""
    table = pq.read_table(path)
    frame, kept = table.to_pandas(), table.schema.metadata
    column = rng.choice(list(frame.columns))
    edits: tuple[Callable[[], pd.DataFrame], ...] = (
        lambda: frame.drop(columns=column),
        lambda: frame.rename(columns={column: f"{column}x"}),
        lambda: frame.head(0),
        lambda: frame.head(1),
        lambda: frame.iloc[::-1],
        lambda: pd.concat([frame, frame]),
        lambda: frame.assign(**{column: None}),
        lambda: frame.assign(**{column: float("nan")}),
        lambda: frame.assign(**{column: -1}),
        lambda: frame.assign(**{column: 10**12}),
        lambda: frame.assign(**{column: float("inf")}),
        lambda: frame.assign(**{column: "x"}),
        lambda: frame.assign(**{column: b"\xff"}),
        lambda: frame.assign(**{column: [[1, 2]] * len(frame)}),
        lambda: frame.assign(**{column: frame[column].astype(str)}),
        lambda: frame.assign(new=1),
        lambda: pd.DataFrame(index=range(3)),
    )
    try:
        written = pa.Table.from_pandas(rng.choice(edits)(), preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError):
        written = pa.Table.from_pandas(frame.head(0), preserve_index=False)
    sink = io.BytesIO()
    pq.write_table(written.replace_schema_metadata({**(kept or {})} if rng.random() < 0.8 else None), sink)
    replaced(path, sink.getvalue())


def edited_image(rng: random.Random, path: Path) -> None:
    mode, size = (
        rng.choice(("L", "RGBA", "P", "CMYK", "I;16", "1", "F", "RGB", "LA")),
        rng.choice(((64, 64), (1, 1), (65, 3), (3000, 1))),
    )
    picture, stream = Image.new(mode, size), io.BytesIO()
    forms = ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]
    rng.shuffle(forms)
    for form in forms:
        try:
            picture.save(stream, form)
            break
        except (OSError, ValueError):
            stream = io.BytesIO()
    replaced(path, stream.getvalue())


def edited_text(rng: random.Random, path: Path) -> None:
    """Lines of a text or of a table, as people damage them."""
    content = path.read_bytes()
    lines = content.split(b"\n")
    place = rng.randrange(len(lines))
    edits: tuple[Callable[[], bytes], ...] = (
        lambda: content.decode("utf-8").encode("utf-16"),
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.replace(b"\n", b"\r\n"),
        lambda: content.replace(b"\n", b"\r"),
        lambda: content + content,
        lambda: b"\n".join(
            [
                *lines[:place],
                lines[place] + rng.choice((b"\0", b'"', b"\xff", b",,,", b"\t", b"x" * 200_000)),
                *lines[place + 1 :],
            ]
        ),
        lambda: b"\n".join([*lines[:place], b"", *lines[place:]]),
        lambda: b"\n".join([*lines[:place], *lines[place + 1 :]]),
        lambda: b"\n".join(lines[::-1]),
        lambda: content.replace(b"a ", "é\u202e\u0301 ".encode() * rng.choice((1, 200))),
        lambda: content.replace(b"file_name", b"file").replace(b"prompt", b"words"),
        lambda: content.replace(b".png", rng.choice((b".gif", b"", b"/../../x.png", b".png/x"))),
        lambda: content.replace(b",", b";"),
        lambda: b'"' + content,
        lambda: content.upper(),
        lambda: content.replace(b" ", b"\xc2\xa0"),
    )
    replaced(path, rng.choice(edits)())


ANY: tuple[Damage, ...] = (
    truncated, truncated, flipped, flipped, junk, text_instead, folder_instead, deleted, link_to_nothing, neighbour,
    longer,
)  # fmt: skip
OF_FORMAT: dict[str, tuple[Damage, ...]] = {
    ".json": (edited_json,),
    ".jsonl": (edited_json, edited_text),
    ".parquet": (edited_table,),
    ".safetensors": (edited_safetensors,),
    ".ckpt": (edited_torch, edited_torch, code_instead),
    ".pth": (edited_torch, edited_torch, code_instead),
    ".png": (edited_image,),
    ".jpg": (edited_image,),
    **dict.fromkeys((".txt", ".csv", ".tsv", ".md", ".html", ".tex"), (edited_text,)),
}
"""Suffix -> damages that leave a whole file of the format."""


def damage(rng: random.Random, path: Path) -> str:
    """Change the file in one way; which, in a word."""
    own = OF_FORMAT.get(path.suffix, ())
    chosen = rng.choice(own) if own and rng.random() < 0.6 else rng.choice(ANY)
    chosen(rng, path)
    return chosen.__name__
