"""Checks a GPU against the CPU, measures full-size models on it, and writes one JSON. `make test-gpu`.

The whole command ends within `--minutes`. What there was no time for is listed by name. Without a GPU the same code
runs at tiny sizes on the CPU, so that nothing in it runs for the first time on a GPU. Exit code 1 where an item failed.
`python scripts/performance_page.py` makes tables of the JSON.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

START = time.monotonic()  # loading the libraries counts

import torch  # noqa: E402
from items import items  # noqa: E402
from machine import described  # noqa: E402
from runs import Runs  # noqa: E402

MINUTES = 8.0
SPARE_S = 10
"""Kept for the end."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="the longest that the whole command takes")
    parser.add_argument("--only", default="", help="items whose names begin with this")
    parser.add_argument("--output", type=Path, help="of the results; gpu.json in $OUT, or in outputs/")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(_first_line(device), flush=True)
    known = items(device)
    chosen = [item for item in known if item.name.startswith(arguments.only)]
    if not chosen:
        parser.error(f"--only {arguments.only}: no item begins so; there are {', '.join(item.name for item in known)}")
    output = arguments.output or Path(os.environ.get("OUT", "outputs")) / "gpu.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    deadline = START + 60 * arguments.minutes - SPARE_S
    about = described(device) | {"minutes_allowed": arguments.minutes}
    with tempfile.TemporaryDirectory(prefix="goldennoise_gpu_") as folder:
        runs = Runs(device.type, chosen, deadline, output, about, Path(folder))
        runs.do_all()
    print(runs.told(), flush=True)
    sys.exit(1 if runs.failed else 0)


def _first_line(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name()}: checks against the CPU, then full-size models with random weights"
    return (
        "No GPU here: every check runs on the CPU against itself, and tiny models stand for the full-size ones. That "
        "tries imports, arguments and code, but not offloading and nothing that a GPU computes"
    )


if __name__ == "__main__":
    main()
