"""What a person sees while pairs are collected: rate, time left and, where they are filtered, the share accepted."""

import pandas as pd
from tqdm import tqdm

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
"""tqdm's own, but always pairs/s, never s/pair."""


class Progress:
    """Counts pairs; after `start` it draws a bar whose rate leaves out the pairs that were there before."""

    def __init__(self, num_pairs: int, filtered: bool = True) -> None:
        self.num_pairs = num_pairs
        self.filtered = filtered
        self.num_done = self.num_kept = 0
        self._bar: tqdm | None = None

    def start(self) -> None:
        self._bar = tqdm(total=self.num_pairs, initial=self.num_done, unit=" pairs", desc="collect", bar_format=BAR)
        self._show()

    def add(self, rows: pd.DataFrame) -> None:
        """Index rows of finished pairs."""
        self.num_done += len(rows)
        self.num_kept += int(rows["kept"].sum())
        if self._bar is not None:
            self._bar.update(len(rows))
            self._show()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _show(self) -> None:
        if self._bar is not None and self.filtered and self.num_done:
            self._bar.set_postfix(accepted=f"{self.num_kept / self.num_done:.1%}")
