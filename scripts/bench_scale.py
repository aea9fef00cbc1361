"""Growth: seconds and memory of collect and train by the number of pairs, on the shapes world, one process a run.

Memory is the largest that was seen in /proc/PID/smaps_rollup while a run went (Linux): anonymous, which counts, and
mapped from files, which the system takes back when it needs it. The artifacts stay in --outputs, so a size that is
complete is not run again and has no figures; give another folder to measure it again.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

NPNET = (
    "npnet.image_size=32",
    "npnet.embed_dim=12",
    "npnet.depths=[1,1]",
    "npnet.heads=[2,2]",
    "npnet.vector_hidden=16",
    "npnet.value_hidden=32",
)
KINDS = ["disk", "compute"]
SECONDS_BETWEEN = 0.2
MIB = 2**20


@dataclass
class Usage:
    """Of a run: seconds, and the largest memory, in bytes."""

    seconds: float = 0.0
    anonymous: int = 0
    mapped: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--outputs", type=Path, default=Path("outputs/bench_scale"))
    parser.add_argument(
        "--frozen-inputs", nargs="+", choices=KINDS, default=KINDS, help="values of the option to train by"
    )
    parser.add_argument("--batch-size", type=int, default=256, help="pairs of an optimiser step")
    parser.add_argument("--seeds", type=int, default=10, help="pairs of each prompt; it divides every number of pairs")
    options = parser.parse_args()
    if options.seeds < 1 or options.batch_size < 1:
        parser.error("--seeds and --batch-size are at least 1")
    if any(num < 2 * options.seeds or num % options.seeds for num in options.pairs):
        parser.error(f"--pairs: each is a multiple of --seeds, {options.seeds}, and has at least two prompts")
    print(f"{'pairs':>8}  {'run':<15} {'seconds':>8} {'ms a pair':>10} {'anonymous':>10} {'mapped':>9}  stored")
    for num in options.pairs:
        folder = options.outputs / f"pairs-{num}"
        row(num, "collect", folder, *collect(num, options.seeds))
        for kind in options.frozen_inputs:
            row(num, f"train {kind}", folder, *train(num, kind, options.batch_size))


def collect(num: int, num_seeds: int) -> list[str]:
    return [
        *("stage=collect", "method=[scaled]", "method.scaled.factor=0.9", "stage.preference=null", "scorer=[]"),
        *(f"stage.num_prompts={num // num_seeds}", f"stage.num_seeds={num_seeds}", "compute.batch_size=64"),
        f"name=n{num}",
    ]


def train(num: int, kind: str, batch_size: int) -> list[str]:
    """One epoch. A name for each kind of frozen inputs: the option decides nothing, so the second would be complete."""
    return [
        *("stage=train", f"stage.pairs=pairs/n{num}@latest", f"stage.frozen_inputs={kind}", "stage.num_epochs=1"),
        *(f"stage.batch_size={batch_size}", "stage.sample_every_epochs=0", f"name=n{num}-{kind}", *NPNET),
    ]


def row(num: int, name: str, folder: Path, *overrides: str) -> None:
    """Run it and print its line."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "goldennoise", *overrides, "compute.device=cpu", f"outputs={folder}"]
    with (folder / "runs.log").open("a+") as log:
        start = log.tell()
        usage = measured(subprocess.Popen(command, stdout=log, stderr=log), folder)
        log.seek(start)
        is_complete = " is complete" in log.read()
    if is_complete:
        print(f"{num:>8}  {name:<15} complete already")
        return
    stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(
        f"{num:>8}  {name:<15} {usage.seconds:>8.1f} {1000 * usage.seconds / num:>10.3f} "
        f"{usage.anonymous / MIB:>6.0f} MiB {usage.mapped / MIB:>5.0f} MiB  {stored / MIB:.0f} MiB",
        flush=True,
    )


def measured(process: subprocess.Popen[bytes], folder: Path) -> Usage:
    """Watch a run until it ends; leave the program if it fails."""
    start, usage = time.monotonic(), Usage()
    while process.poll() is None:
        found = memory(process.pid)
        usage.anonymous = max(usage.anonymous, found.get("Anonymous", 0))
        usage.mapped = max(usage.mapped, found.get("Rss", 0) - found.get("Anonymous", 0))
        time.sleep(SECONDS_BETWEEN)
    if process.returncode:
        sys.exit(f"the run failed: see {folder / 'runs.log'}")
    usage.seconds = time.monotonic() - start
    return usage


def memory(pid: int) -> dict[str, int]:
    """Bytes by the field's name; nothing where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (OSError, ProcessLookupError):
        return {}
    return {name.rstrip(":"): 1024 * int(size) for name, size, *_ in (line.split() for line in lines)}


if __name__ == "__main__":
    main()
