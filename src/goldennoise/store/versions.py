"""What lies below the folders of an outputs folder: names of a kind, and versions of a name."""

import re
from pathlib import Path

from goldennoise.store.drafts import DRAFT
from goldennoise.store.record import RECORD

VERSION = re.compile(r"v[1-9][0-9]{0,8}")


def complete(folder: Path) -> list[str]:
    """Complete versions of the name that `folder` is, oldest first."""
    # A pipe in its place would be waited for.
    names = (path.parent.name for path in folder.glob(f"v*/{RECORD}") if path.is_file() or path.is_dir())
    return sorted(filter(VERSION.fullmatch, names), key=number)


def unfinished(folder: Path) -> list[str]:
    """Unfinished versions in which work has begun, oldest first."""
    names = (path.parent.name.removesuffix(".partial") for path in folder.glob(f"v*.partial/{DRAFT}") if path.is_file())
    return sorted(filter(VERSION.fullmatch, names), key=number)


def number(version: str) -> int:
    """For example 3 of "v3"."""
    return int(version[1:])


def names(parent: Path) -> list[str]:
    """Names with a complete version, of the kind that `parent` is."""
    return sorted(entry.name for entry in parent.iterdir() if complete(entry)) if parent.is_dir() else []
