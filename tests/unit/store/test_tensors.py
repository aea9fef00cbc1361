"""Files of weights as users have them: of another kind than their name says, damaged, or made to do harm."""

import io
import json
import os
import pickle
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from goldennoise.errors import ModelError, ScorerError
from goldennoise.networks.checkpoint import load_npnet
from goldennoise.scorers.networks.weights import read_weights

TENSORS = {"alpha": torch.arange(8.0), "unet_svd.mlp1.0.weight": torch.ones(3, 4)}


def as_network(path: Path) -> object:
    return load_npnet(path)


def as_scorer(path: Path) -> object:
    return read_weights(str(path.parent), path.name, None, None)


READERS = {"network": (as_network, ModelError), "scorer": (as_scorer, ScorerError)}
readers = pytest.mark.parametrize(("read", "error"), READERS.values(), ids=READERS)


def saved(content: object = TENSORS, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return buffer.getvalue()


KINDS = {"safetensors": save(TENSORS), "zip": saved(), "legacy": saved(zipped=False)}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
OTHERS: dict[str, tuple[bytes, str, str]] = {
    "safetensors called pth": (KINDS["safetensors"], "net.pth", "is a safetensors file: rename it to net.safetensors"),
    "safetensors called pt": (KINDS["safetensors"], "net.pt", "is a safetensors file: rename it to net.safetensors"),
    "cut safetensors called pth": (KINDS["safetensors"][:40], "net.pth", "is a safetensors file"),
    "zip called safetensors": (KINDS["zip"], "net.safetensors", "is a file that torch saved: rename it to net.pth"),
    "legacy called safetensors": (KINDS["legacy"], "net.safetensors", "is a file that torch saved: rename it to net"),
    "a pointer": (LFS, "net.safetensors", "is a text file, .* Git LFS pointer"),
    "a page": (b"\n<!DOCTYPE html><title>Gated</title>", "net.pth", "is a text file"),
    "JSON": (json.dumps({"alpha": [0.0]}).encode(), "net.pt", "is a text file"),
    "long text": ("é".encode() * 5000, "net.safetensors", "is a text file"),
    "empty": (b"", "net.pth", r"is truncated or damaged \(it is empty\)"),
    "empty safetensors": (b"", "net.safetensors", r"is truncated or damaged \(it is empty\)"),
    "junk": (bytes(range(128, 256)) * 9, "net.pth", "is truncated or damaged"),
    "junk safetensors": (bytes(range(128, 256)) * 9, "net.safetensors", "is truncated or damaged"),
    "another zip": (archive(readme="text"), "net.pth", "is truncated or damaged, or nothing that torch saved"),
    "a plain pickle": (pickle.dumps({"alpha": [0.0]}), "net.pth", "is damaged or holds more than tensors"),
    "a list": (saved([torch.zeros(1)]), "net.pth", "holds no tensors by name"),
    "a legacy list": (saved([torch.zeros(1)], zipped=False), "net.pth", "holds no tensors by name"),
}


@readers
@pytest.mark.parametrize(("content", "name", "message"), OTHERS.values(), ids=OTHERS)
def test_a_file_of_another_kind_is_said_to_be_one(
    tmp_path: Path, read: Callable[[Path], object], error: type[Exception], content: bytes, name: str, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=rf"{re.escape(name)} {message}") as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("read", "message"), [(as_network, r"/config\.json does not exist"), (as_scorer, " is a folder")]
)
@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_a_folder_is_no_file_of_weights(
    tmp_path: Path, read: Callable[[Path], object], message: str, name: str
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ModelError, match=f"{name}{message}"):
        read(tmp_path / name)


@pytest.mark.parametrize(("kind", "name"), [("safetensors", "a.safetensors"), ("zip", "a.pth"), ("legacy", "a.bin")])
def test_each_kind_is_read_under_its_own_suffix(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(KINDS[kind])
    read = read_weights(str(tmp_path), name, None, None)
    assert all(torch.equal(read[key], tensor) for key, tensor in TENSORS.items())
    assert read.keys() == TENSORS.keys()


class Runs:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@readers
@pytest.mark.parametrize("zipped", [True, False])
def test_what_would_run_code_is_named_and_refused_unrun(
    tmp_path: Path, read: Callable[[Path], object], error: type[Exception], zipped: bool
) -> None:
    (tmp_path / "net.pth").write_bytes(saved({"alpha": Runs(tmp_path / "ran")}, zipped))
    with pytest.raises(error, match=r"which could run code: it is refused.*posix\.mkdir"):
        read(tmp_path / "net.pth")
    assert not (tmp_path / "ran").exists()


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Cut, or with some bytes of its beginning, where the names and sizes stand, or of any place changed."""
    changed = bytearray(content)
    if draw.random() < 0.25:
        return bytes(changed[: draw.randrange(len(changed))])
    reach = draw.choice([16, 400, 1500, len(changed)])
    for _ in range(draw.randrange(1, 6)):
        changed[draw.randrange(min(reach, len(changed)))] = draw.randrange(256)
    return bytes(changed)


@readers
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_our_errors_escapes(
    tmp_path: Path, read: Callable[[Path], object], error: type[Exception], kind: str
) -> None:
    draw = random.Random(f"weights {kind}")
    for number in range(70):
        path = tmp_path / f"{number}{draw.choice(['.pth', '.pt', '.safetensors', '.safetensors', '.pth'])}"
        path.write_bytes(damaged(KINDS[kind], draw))
        refusal = None
        try:
            read(path)
        except error as caught:
            refusal = str(caught)
        if refusal is None:
            assert error is ScorerError, "these few tensors are no NPNet"
        else:
            assert path.name in refusal
            assert refusal.isprintable()


def looped() -> dict[str, Any]:
    content: dict[str, Any] = {"alpha": torch.zeros(1)}
    content["state_dict"] = content
    return content


def nested(depth: int) -> dict[str, Any]:
    content: dict[str, Any] = {"alpha": torch.zeros(1)}
    for _ in range(depth):
        content = {"state_dict": content}
    return content


ODD: dict[str, Any] = {
    "sparse": {"alpha": torch.eye(3).to_sparse()},
    "expanded": {"alpha": torch.zeros(1).expand(10**10)},
    "meta": {"alpha": torch.zeros(3, device="meta")},
    "loop": looped(),
    "deep": nested(100),
    "number for a name": {1: torch.zeros(1), "alpha": torch.zeros(1)},
    "number": {"alpha": 1.0},
}


@readers
@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_what_is_no_plain_tensor_is_refused(
    tmp_path: Path, read: Callable[[Path], object], error: type[Exception], content: Any
) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(error, match=r"net\.pth ") as caught:
        read(tmp_path / "net.pth")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
