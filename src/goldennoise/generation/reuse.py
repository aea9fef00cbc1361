"""Parts that other versions of an evaluation have finished and that this one would make again just so."""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from goldennoise.errors import ArtifactError
from goldennoise.generation.units import Part
from goldennoise.store.drafts import DRAFT
from goldennoise.store.files import remove
from goldennoise.store.record import RECORD, read_header

log = logging.getLogger(__name__)


def take_finished(folder: Path, parts: Sequence[Part], reads_rows: bool) -> None:
    """Take into the draft in `folder` what its sibling versions, finished or not, have of `parts`.

    A part decides itself by its model, method, scorers, root seed and samples: a version with a further method, with
    more prompts or another reference makes only what is new. reads_rows: whether a scorer reads the prompts' rows; then
    only versions of the very same prompts count.
    """
    keys = ("model", "scorers", "seed", *(["prompts"] if reads_rows else []))
    wanted = read_header(folder / DRAFT)["identity"]
    for sibling, found in _siblings(folder):
        if any(found.get(key) != wanted[key] for key in keys):
            continue
        theirs = found.get("methods")
        if not isinstance(theirs, dict):
            continue
        methods = {name for name, method in wanted["methods"].items() if theirs.get(name) == method}
        taken = [
            part
            for part in parts
            if part.method in methods and not part.table_file(folder).exists() and part.is_finished(sibling)
        ]
        for part in taken:
            # The table last: where it is, the part is finished.
            for file in (*part.image_files(sibling), part.table_file(sibling)):
                _link(file, folder / file.relative_to(sibling))
        if taken:
            log.info("%d of %d parts are those of %s", len(taken), len(parts), sibling)


def _siblings(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Other versions beside `folder`, the newest first, and what decided their content."""
    others = sorted(folder.parent.glob("v*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for other in others:
        header = next((other / name for name in (RECORD, DRAFT) if (other / name).is_file()), None)
        if other == folder or header is None:
            continue
        try:
            yield other, read_header(header)["identity"]
        except ArtifactError as error:
            log.warning("its parts are passed over: %s", error)


def _link(source: Path, target: Path) -> None:
    """One file under two names, or a copy where the file system has no such thing; files are never written into."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove(target)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
