"""Where a result comes from: digests of files and configs, package versions, git commit, host, command line."""

import errno
import hashlib
import json
import os
import platform
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    *("goldennoise", "torch", "torchvision", "diffusers", "transformers", "accelerate", "lightning", "open_clip_torch"),
    *("timm", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "hydra-core", "omegaconf", "pillow"),
)


def timestamp() -> str:
    """UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def fingerprint(identity: Mapping[str, Any], inputs: Sequence[str]) -> str:
    """SHA-256 of the canonical JSON of what decides the content: identity fields and the inputs' fingerprints."""
    text = json.dumps(
        {"identity": identity, "inputs": list(inputs)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write so that a reader finds all of it or the old file: written beside, synced, renamed."""
    beside = path.with_name(f"{path.name}.tmp")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    put(beside, path)
    sync(path.parent)


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


@cache
def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that can change a result."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def git_commit() -> str | None:
    """Commit of the source tree this package runs from, with `-dirty` if changed; None for an installed package."""
    tree = Path(__file__).parents[2]
    if not (tree / ".git").exists():
        return None
    command = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def origin() -> dict[str, Any]:
    """The part of a record that says who made it: packages, git commit, host and command line."""
    return {
        "packages": dict(package_versions()),
        "git_commit": git_commit(),
        "host": socket.gethostname(),
        "command": shlex.join(sys.orig_argv),
    }
