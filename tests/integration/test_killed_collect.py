"""A collect killed with SIGKILL at random moments ends with the artifact of one that was not."""

import random
import time
from pathlib import Path

import pandas as pd
import pytest
from integration.command_line import run_ok, start
from safetensors.torch import load_file


@pytest.mark.parametrize("num_kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_again_and_again(tmp_path: Path, num_kills: int) -> None:
    # More shards than kills: a round finishes one shard at the most, so the work outlasts them all.
    size = f"stage.num_prompts={2 * (num_kills + 2)}"
    overrides = ("stage=collect", "experiment=smoke", "stage.prompts_per_shard=2", size)
    dice = random.Random(0)
    draft = tmp_path / "killed/pairs/smoke/v1.partial"
    seen: dict[str, int] = {}
    for _ in range(num_kills):
        process = start(tmp_path / "killed", *overrides)
        _kill_at_a_random_moment(process, draft, dice)
        assert not (tmp_path / "killed/pairs/smoke/v1").exists()
        finished = {path.name: path.stat().st_mtime_ns for path in draft.glob("index-*.parquet")}
        for name, written_ns in seen.items():
            assert finished[name] == written_ns, f"{name} was made twice"
        seen = finished
    run_ok(tmp_path / "killed", *overrides)
    run_ok(tmp_path / "whole", *overrides)
    killed, whole = (tmp_path / name / "pairs/smoke/v1" for name in ("killed", "whole"))
    for shard in sorted(path.name for path in whole.glob("*.safetensors")):
        left, right = load_file(killed / shard), load_file(whole / shard)
        assert all(left[key].equal(right[key]) for key in right)
    pd.testing.assert_frame_equal(pd.read_parquet(killed / "index.parquet"), pd.read_parquet(whole / "index.parquet"))


def _kill_at_a_random_moment(process, draft: Path, dice: random.Random) -> None:  # type: ignore[no-untyped-def]
    """Waits for the work to begin, so that most kills fall into it, and never for its end."""
    num_before = len(list(draft.glob("index-*")))
    while not draft.exists() and process.poll() is None:
        time.sleep(0.02)
    moment = time.monotonic() + dice.uniform(0.0, 9.0)
    while time.monotonic() < moment and process.poll() is None and len(list(draft.glob("index-*"))) <= num_before:
        time.sleep(0.02)
    process.kill()
    process.wait()
