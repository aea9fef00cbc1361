"""A process that does some items and writes a line of JSON for each, so that what it has done survives it."""

import gc
import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import torch
from gpu.place import is_poisoned
from items import Item, items, timed


def main() -> None:
    """`worker.py DEVICE FILE NAME...`: appends to FILE a line as each item begins, and one with what came of it."""
    kind, file, *names = sys.argv[1:]
    device = torch.device(kind, 0) if kind == "cuda" else torch.device(kind)
    known = {item.name: item for item in items(device)}
    with Path(file).open("a", encoding="utf-8") as results:
        for name in names:
            _write(results, {"name": name, "status": "begun"})
            found = done(known[name])
            _write(results, found)
            if is_poisoned(str(found.get("told", ""))):
                sys.exit(3)  # what is left needs another process


def done(item: Item) -> dict[str, Any]:
    try:
        with tempfile.TemporaryDirectory(prefix="goldennoise_gpu_") as folder:
            return timed(item, Path(folder))
    except Exception:
        told = traceback.format_exc()[-2000:]
        return {"name": item.name, "kind": item.kind, "status": "failed", "told": told}
    finally:
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _write(results: Any, line: dict[str, Any]) -> None:
    results.write(json.dumps(line) + "\n")
    results.flush()


if __name__ == "__main__":
    main()
