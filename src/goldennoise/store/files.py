"""Files written whole, and what is on the disk: digests, replacement, removal."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".tmp"
"""What the name of a file ends in until it is whole."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends well and vanishes when it does not.

    The content is on the disk before it has the name, so a reader finds all of it or what was there before. Folders
    above `path` are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of two processes that write the same file, as when a node of a cluster is lost and is not, each has its own.
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    beside.touch()
    # safetensors puts a file of its own in the place, which its owner alone may read.
    mode = beside.stat().st_mode
    try:
        yield beside
        beside.chmod(mode)
        sync(beside)
        put(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write a JSON value as `whole` does."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with whole(path) as beside:
        beside.write_text(f"{text}\n", encoding="utf-8")


def remove(path: Path) -> None:
    """What is there, if anything: a file, a link or a whole folder, in whose place a file belongs."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put(written: Path, path: Path) -> None:
    """Rename a file that is written whole to `path`, in place of whatever is there."""
    if path.is_dir():
        remove(path)
    written.replace(path)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_full(error: BaseException) -> bool:
    """Whether a library failed for want of disk space; several report it in words only, without an errno."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return os.strerror(errno.ENOSPC) in str(error)
