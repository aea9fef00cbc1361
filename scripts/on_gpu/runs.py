"""Does items in processes of their own, within limits of time; what they find is on disk at once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from items import PATHS, ROOT, Item

WORKER = Path(__file__).with_name("worker.py")
START_S = 90
"""For a process to load its libraries."""
POLL_S = 0.1


class Runs:
    """results: what came of each item. not_run: names of those that there was no time for."""

    def __init__(
        self, device: str, items: Sequence[Item], deadline: float, output: Path, about: dict[str, Any], folder: Path
    ) -> None:
        """deadline: of time.monotonic(). output: of the JSON. about: what it begins with. folder: for files."""
        self.device, self.items, self.deadline = device, items, deadline
        self.output, self.about, self.folder = output, about, folder
        self.start = time.monotonic()
        self.results: list[dict[str, Any]] = []
        self.not_run: list[str] = [item.name for item in items]

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [result for result in self.results if result["status"] == "failed"]

    def do_all(self) -> None:
        while (group := self._next_group()) and time.monotonic() < self.deadline:
            self._work(group)
        self.write()

    def write(self) -> None:
        parts = {
            "checks": [result for result in self.results if result["kind"] == "check"],
            "peaks": [result for result in self.results if result["kind"] == "peak"],
            "measurements": [result for result in self.results if result["kind"] == "measurement"],
        }
        content = self.about | {"seconds": round(time.monotonic() - self.start, 1)} | parts | {"not_run": self.not_run}
        beside = self.output.with_suffix(".json.new")
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        beside.replace(self.output)

    def told(self) -> str:
        """A summary, with every failure and everything that was left out by name."""
        counts = {status: sum(result["status"] == status for result in self.results) for status in ("passed", "failed")}
        lines = [f"{counts['passed']} passed, {counts['failed']} failed, {len(self.not_run)} not run for lack of time"]
        lines += [f"failed: {each['name']}: {each.get('told', '')[-300:]}" for each in self.failed]
        lines += [f"not run: {name}" for name in self.not_run]
        return "\n".join([*lines, f"results: {self.output}"])

    def _next_group(self) -> list[Item]:
        """What one process does next."""
        left = [item for item in self.items if item.name in self.not_run]
        if left and left[0].is_alone:
            return left[:1]
        alone = next((place for place, item in enumerate(left) if item.is_alone), len(left))
        return left[:alone]

    def _work(self, group: Sequence[Item]) -> None:
        """Start a process on the items; a process that dies or does not end costs the item that it was at."""
        file = self.folder / f"{len(self.results)}.jsonl"
        file.touch()
        command = [sys.executable, str(WORKER), self.device, str(file), *(item.name for item in group)]
        paths = os.pathsep.join([*PATHS, *filter(None, [os.environ.get("PYTHONPATH")])])
        # A process that was stopped while it compiled leaves half a library in the cache.
        own = {"PYTHONPATH": paths, "TORCHINDUCTOR_CACHE_DIR": str(self.folder / f"compiled-{len(self.results)}")}
        with (self.folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | own, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=stderr,
            )  # fmt: skip
            reason = self._watch(process, file, {item.name: item for item in group})
            _end(process)
        if reason is not None:
            at = self._begun(group)
            told = (self.folder / "stderr").read_text(errors="replace")[-1500:]
            self._keep({"name": at.name, "kind": at.kind, "status": "failed", "told": f"{reason}\n{told}"})

    def _watch(self, process: "subprocess.Popen[bytes]", file: Path, group: dict[str, Item]) -> str | None:
        """Keep what the process writes. Returns why the item it was at has no result, None where all have one."""
        num_read, since, limit_s, at = 0, time.monotonic(), float(START_S), ""
        while True:
            ended = process.poll() is not None
            lines = file.read_text(encoding="utf-8").split("\n")[:-1]
            for line in map(json.loads, lines[num_read:]):
                since = time.monotonic()
                at, limit_s = (
                    (line["name"], group[line["name"]].limit_s) if line["status"] == "begun" else ("", START_S)
                )
                if not at:
                    self._keep(line)
            num_read = len(lines)
            if ended:
                # Without an item under way it left for another to go on with the rest, or it did not even start.
                is_fine = not at and num_read > 0
                return None if is_fine else f"its process ended with exit code {process.returncode}"
            if time.monotonic() > self.deadline:
                return None
            if time.monotonic() - since > limit_s:
                return f"stopped after {limit_s:g} s"
            time.sleep(POLL_S)

    def _begun(self, group: Sequence[Item]) -> Item:
        """The item that the process was at, the first that has no result where it was at none."""
        left = [item for item in group if item.name in self.not_run]
        return left[0] if left else group[-1]

    def _keep(self, result: dict[str, Any]) -> None:
        self.results.append(result)
        self.not_run.remove(result["name"])
        deviation = "" if result.get("deviation") is None else f", deviation {result['deviation']:.2g}"
        print(f"  {result['name']}: {result['status']}{deviation}", flush=True)
        self.write()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Stop the process with everything that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
