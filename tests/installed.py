"""A package as an installer leaves it, for this process."""

import sys
from pathlib import Path

import pytest

from goldennoise.config.files import outside_folders
from goldennoise.runtime.registry import installed


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, entry_points: str, files: dict[str, str]) -> None:
    """Write the package `name` into `folder`, which is searched until the test ends."""
    module = name.replace("-", "_")
    texts = {f"{module}/{file}": text for file, text in files.items()} | {
        f"{module}-1.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{module}-1.dist-info/entry_points.txt": entry_points,
    }
    for file, text in texts.items():
        (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / file).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder / name)
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == module]:
        # Another test's package of this name.
        del sys.modules[loaded]
    # What was found before is read again now, and once more after the test.
    for found in (installed, outside_folders):
        found.cache_clear()
