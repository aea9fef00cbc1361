"""Where a result comes from: package versions, git commit, host, command line, time."""

import platform
import shlex
import socket
import subprocess
import sys
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
    tree = Path(__file__).parents[3]
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
