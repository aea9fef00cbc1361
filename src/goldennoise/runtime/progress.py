"""Progress of long work: a bar on a terminal, a line now and then where the output goes to a file."""

import sys
import time
from dataclasses import dataclass
from typing import Self

from tqdm import tqdm

LINE_EVERY_S = 30.0

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
"""tqdm's own, but always images/s, never s/image."""
_LINE = _BAR.replace("|{bar}|", ",").replace("{elapsed}<{remaining}", "{elapsed} passed, {remaining} left")


@dataclass(frozen=True)
class Counter:
    """What a progress counts. num_done: units that are there before the work begins."""

    desc: str
    unit: str
    num_done: int = 0

    def progress(self, num_left: int, show: bool = True) -> "Progress":
        """Of `num_left` further units."""
        return Progress(self.desc, self.num_done + num_left, self.unit, self.num_done, show)


class Progress:
    """Counts units of work on stderr, with a rate and the time left; a context manager.

    num_done: units that are there before the work begins; the rate leaves them out. show: False writes nothing.
    """

    def __init__(self, desc: str, total: int, unit: str, num_done: int = 0, show: bool = True) -> None:
        self.num_done = num_done
        self._desc, self._total, self._unit, self._first, self._note = desc, total, unit, num_done, ""
        self._show = show
        self._start = self._written = time.monotonic()
        self._bar: tqdm | None = None
        if show and sys.stderr.isatty():
            self._bar = tqdm(
                desc=desc, total=total, initial=num_done, unit=f" {unit}", bar_format=_BAR, dynamic_ncols=True
            )

    def update(self, num: int = 1) -> None:
        """`num` more units are done."""
        self.num_done += num
        if self._bar is not None:
            self._bar.update(num)
        elif time.monotonic() - self._written >= LINE_EVERY_S:
            self._write_line()

    def note(self, text: str) -> None:
        """What stands beside the figures from now on."""
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def say(self, line: str) -> None:
        """A line of the result on stdout, above the bar."""
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            self._write_line()

    def _write_line(self) -> None:
        self._written = time.monotonic()
        if self._show:
            line = tqdm.format_meter(
                self.num_done, self._total, self._written - self._start, prefix=self._desc, unit=f" {self._unit}",
                initial=self._first, postfix=self._note, bar_format=_LINE,
            )  # fmt: skip
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
