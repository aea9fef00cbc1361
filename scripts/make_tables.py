"""Runs every experiment of the shapes world that stands for a published table, then puts their tables on one page.

Started again, it goes on: complete artifacts are not made twice. `python scripts/make_tables.py --outputs DIR`.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence

TWINS = {
    "golden_noise_table1_shapes": "report",  # First: others use its pairs and its network.
    "golden_noise_geneval_shapes": "report",
    "golden_noise_ablation_shapes": "report",
    "golden_noise_samplers_shapes": "comparison",
    "golden_noise_steps_shapes": "comparison",
    "golden_noise_distilled_shapes": "report",
    "golden_noise_data_size_shapes": "report",
    "find_table_shapes": "report",
    "time_prediction_table_shapes": "report",
    "training_noise_table_shapes": "comparison",
    "one_more_step_table_shapes": "report",
    "prediction_shapes": "prediction",
}
"""Experiment -> kind of artifact that is its page, in the order of work."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs", help="folder of all artifacts")
    outputs = f"outputs={parser.parse_args().outputs}"
    failed = [name for name in TWINS if not _run(name, [f"experiment={name}", outputs])]
    pages = ",".join(f"{kind}/{name}" for name, kind in TWINS.items() if name not in failed)
    if failed or not _run("page", ["stage=tables", "name=shapes", f"stage.pages=[{pages}]", outputs]):
        sys.exit(f"failed: {', '.join(failed) or 'the page'}; the same command goes on from here")


def _run(name: str, arguments: Sequence[str]) -> bool:
    command = [sys.executable, "-m", "goldennoise", *arguments]
    print(f"\n== {name}: goldennoise {shlex.join(arguments)}", flush=True)
    start = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    print(f"== {name}: {time.monotonic() - start:.0f} s{'' if code == 0 else f', exit code {code}'}", flush=True)
    if code in (130, 143):
        sys.exit(code)
    return code == 0


if __name__ == "__main__":
    main()
