"""Nothing that `make test-gpu` leaves out is left out in silence: what dies, hangs or has no time left is named."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "scripts" / "on_gpu"))
import runs
from gpu.place import CPU
from items import Item, items, timed

WORKER = """
import json, os, sys, time
file = open(sys.argv[2], "a")
for name in sys.argv[3:]:
    def write(**line):
        file.write(json.dumps({"name": name} | line) + "\\n")
        file.flush()
    write(status="begun")
    if name == "dies":
        print("last words", file=sys.stderr, flush=True)
        os._exit(7)
    if name == "hangs":
        time.sleep(600)
    write(kind="check", status="passed", deviation=0.0, tolerance=1.0)
    if name == "poisons":
        sys.exit(3)
"""


def item(name: str, limit_s: float = 60, is_alone: bool = False) -> Item:
    return Item(name, "check", lambda _: {}, limit_s, is_alone)  # type: ignore[arg-type]


def done(monkeypatch: pytest.MonkeyPatch, folder: Path, chosen: list[Item], seconds: float) -> tuple[Any, Any]:
    (folder / "worker.py").write_text(WORKER)
    monkeypatch.setattr(runs, "WORKER", folder / "worker.py")
    output = folder / "gpu.json"
    made = runs.Runs("cpu", chosen, time.monotonic() + seconds, output, {"format": 1}, folder)
    made.do_all()
    return made, json.loads(output.read_text())


def test_what_dies_or_hangs_costs_itself_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [
        item("first"),
        item("dies"),
        item("poisons"),
        item("alone", is_alone=True),
        item("hangs", 0.5),
        item("last"),
    ]
    made, content = done(monkeypatch, tmp_path, names, seconds=60)
    status = {check["name"]: check["status"] for check in content["checks"]}
    assert status == {
        **{"first": "passed", "dies": "failed", "poisons": "passed", "alone": "passed"},
        **{"hangs": "failed", "last": "passed"},
    }
    told = {check["name"]: check.get("told", "") for check in content["checks"]}
    assert told["dies"].startswith("its process ended with exit code 7\nlast words")
    assert told["hangs"].startswith("stopped after 0.5 s")
    assert content["not_run"] == []
    assert "4 passed, 2 failed, 0 not run" in made.told()
    assert "failed: hangs: stopped after 0.5 s" in made.told()


def test_what_there_is_no_time_for_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start = time.monotonic()
    made, content = done(monkeypatch, tmp_path, [item("first"), item("hangs"), item("last")], seconds=2)
    assert time.monotonic() - start < 10
    assert content["not_run"] == ["hangs", "last"]
    assert "not run: hangs\nnot run: last" in made.told()


def test_items_have_names_of_their_own_and_what_takes_longest_comes_last() -> None:
    names = [each.name for each in items(CPU)]
    assert len(names) == len({*names})
    assert names[0].startswith("peak of")
    assert all("compile" in name for name in names[-5:])


def test_a_measurement_of_a_tiny_model_has_every_figure(tmp_path: Path) -> None:
    known = {each.name: each for each in items(CPU)}
    found = timed(known["pixart_sigma: model.dtype=float32"], tmp_path)
    assert found["status"] == "passed"
    image_s = 50 * found["evaluation_s"] + found["decoding_s"] / 2
    assert found["images_per_s"] == pytest.approx(1 / image_s)
    assert found["npnet_share"] == pytest.approx(found["npnet_s"] / image_s)
    assert found["tera_flop_per_s"] == pytest.approx(found["tera_flop"] / found["evaluation_s"])
    assert timed(known["sdxl: bfloat16, compute.offload=true"], tmp_path)["status"] == "not here"
    assert timed(known["peak of float32"], tmp_path)["tera_flop_per_s"] > 0
