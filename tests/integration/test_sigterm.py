"""SIGTERM, which batch systems send before they kill: a line, exit code 143, nothing left running, and it goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from integration.command_line import ROOT, command, run_ok

LINE = "Stopped; the same command goes on from here.\n"
SCORER = """
import json, os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
print(json.dumps({"version": "slow 1"}), flush=True)
for line in sys.stdin:
    time.sleep(0.5)
    print(json.dumps({"scores": [1.0] * len(json.loads(line)["images"])}), flush=True)
"""


def terminated(words: list[str], work: Callable[[], bool], whole_group: bool) -> tuple[int, str]:
    """Exit code and stderr of a command that gets SIGTERM once `work` is under way; nothing of it runs then."""
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not work():
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.02)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    for _ in range(100):
        if not is_running(process.pid, session=True):
            break
        time.sleep(0.05)
    assert not is_running(process.pid, session=True)
    return process.returncode, err


def is_running(number: int, session: bool = False) -> bool:
    """Whether a process of this number, or of this session, is there and more than a zombie."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = status.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX" and int(its_session if session else status.parent.name) == number:
            return True
    return False


def test_collect_ends_with_its_scorers_process(tmp_path: Path) -> None:
    (tmp_path / "scorer.py").write_text(SCORER)
    overrides = (
        *("stage=collect", "experiment=smoke", "stage.prompts_per_shard=1", "scorer=[shapes_clip,hpsv3]"),
        f"scorer.hpsv3.command={sys.executable} {tmp_path / 'scorer.py'} {tmp_path / 'pid'}",
    )
    pairs = tmp_path / "outputs/pairs/smoke"
    done: Callable[[], list[Path]] = lambda: list(pairs.glob("v1.partial/index-*.parquet"))  # noqa: E731
    code, err = terminated(command(tmp_path / "outputs", *overrides), lambda: bool(done()), whole_group=False)
    assert (code, err.endswith(LINE), "Traceback" in err) == (143, True, False), err
    assert not is_running(int((tmp_path / "pid").read_text()))
    written = {path.name: path.stat().st_mtime_ns for path in done()}
    assert 1 <= len(written) < 8
    run_ok(tmp_path / "outputs", *overrides)
    assert written.items() <= {path.name: path.stat().st_mtime_ns for path in pairs.glob("v1/index-*")}.items()


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False])
def test_train_ends_with_its_workers(pipeline: Path, whole_group: bool) -> None:
    name = f"terminated{whole_group}"
    overrides = ("stage=train", "experiment=smoke", "stage.pairs=pairs/smoke@latest", f"name={name}")
    overrides += ("compute.num_workers=2", "stage.num_epochs=12")
    partial = pipeline / f"npnet/{name}/v1.partial"
    started = command(pipeline, *overrides)
    code, err = terminated(started, (partial / "work/last.ckpt").is_file, whole_group)
    assert (code, err.endswith(LINE), "Traceback" in err) == (143, True, False), err
    first = (partial / "training.csv").read_text().splitlines()
    assert 2 <= len(first) < 13
    run_ok(pipeline, *overrides)
    assert (pipeline / f"npnet/{name}/v1/training.csv").read_text().splitlines()[: len(first)] == first


@pytest.mark.slow
def test_all_processes_of_a_training_end(pipeline: Path) -> None:
    overrides = (
        "stage=train",
        "experiment=smoke",
        "stage.pairs=pairs/smoke@latest",
        "name=by_two",
        "compute.devices=2",
    )
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program, *words = command(pipeline, *overrides, "compute.device=cpu", "stage.num_epochs=40")
    begun = pipeline / "npnet/by_two/v1.partial" / "work/last.ckpt"
    _, err = terminated([program, *torchrun, *words], begun.is_file, whole_group=False)
    # torchrun itself ends with a traceback and a code of its own; rank 0 says the line for both.
    assert err.count(LINE) == 1
    assert not re.search('File ".*src/goldennoise', err)
    run_ok(pipeline, *overrides[:-1], "stage.num_epochs=40")
    assert not begun.exists()
