"""Runs the real command line in a process of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def goldennoise(outputs: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """`python -m goldennoise <overrides>` with its artifacts in `outputs`."""
    return subprocess.run(command(outputs, *overrides), capture_output=True, text=True, cwd=ROOT, check=False)


def start(outputs: Path, *overrides: str) -> subprocess.Popen[bytes]:
    """The same without waiting for its end."""
    return subprocess.Popen(
        command(outputs, *overrides), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )


def command(outputs: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "goldennoise", *overrides, f"outputs={outputs}"]


def run_ok(outputs: Path, *overrides: str) -> str:
    """The output of a run that must succeed."""
    done = goldennoise(outputs, *overrides)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
