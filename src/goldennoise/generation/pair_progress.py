"""What a person sees while pairs are collected: rate, time left and, where they are filtered, the share accepted."""

import pandas as pd

from goldennoise.runtime.progress import Progress


class PairProgress:
    """Counts pairs; after `start` it shows them, at a rate that leaves out the pairs that were there before."""

    def __init__(self, num_pairs: int, filtered: bool = True) -> None:
        self.num_pairs = num_pairs
        self.filtered = filtered
        self.num_done = self.num_kept = 0
        self._shown: Progress | None = None

    def start(self) -> None:
        self._shown = Progress("collect", self.num_pairs, "pairs", self.num_done)
        self._note()

    def add(self, rows: pd.DataFrame) -> None:
        """Index rows of finished pairs."""
        self.num_done += len(rows)
        self.num_kept += int(rows["kept"].sum())
        self._note()
        if self._shown is not None:
            self._shown.update(len(rows))

    def close(self) -> None:
        if self._shown is not None:
            self._shown.close()

    def _note(self) -> None:
        if self._shown is not None and self.filtered and self.num_done:
            self._shown.note(f"accepted {self.num_kept / self.num_done:.1%}")
