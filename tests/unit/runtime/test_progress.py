import io
import sys

import pytest

from goldennoise.runtime import progress
from goldennoise.runtime.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that have passed, as `Progress` sees them."""
    passed = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: passed[0])
    return passed


def run(clock: list[float], num_batches: int, seconds_each: float, show: bool = True) -> None:
    with Progress("collect", 100 * num_batches, "pairs", num_done=100, show=show) as shown:
        shown.note("accepted 40.0%")
        for _ in range(num_batches - 1):
            clock[0] += seconds_each
            shown.update(100)


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    run(clock, num_batches=1001, seconds_each=0.25)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 250 // progress.LINE_EVERY_S + 1
    # 12,000 pairs in 30 s, beside the 100 that were there before.
    assert lines[0] == "collect:  12%, 12100/100100 [00:30 passed, 03:40 left, 400.00 pairs/s, accepted 40.0%]"
    assert lines[-1].startswith("collect: 100%, 100100/100100 [04:10 passed, 00:00 left, 400.00 pairs/s")


def test_nothing_is_written_by_a_process_that_does_not_show(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    run(clock, num_batches=1001, seconds_each=0.25, show=False)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Progress("collect", 100, "pairs") as shown:
        shown.note("accepted 40.0%")
        shown.update(100)
    written = terminal.getvalue()
    assert written.count("\n") == 1
    assert "100%|##########|" in written
    assert "100/100" in written
    assert "accepted 40.0%" in written
