"""What is told about a training run while it goes: training.csv and the progress."""

import csv
import io
import signal
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from goldennoise.runtime.progress import Progress
from goldennoise.store.files import whole
from goldennoise.training.engine.trained_module import TrainedModule


class History(Callback):
    """One row per epoch in `path`, written again each time, so that a resumed run has neither gaps nor doubles.

    Its columns are the figures of the module. epoch counts from 1. train_loss and gradient_norm (before clipping) are
    means over the epoch, learning_rate is that of its last step, the rest is measured at its end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainedModule) -> None:  # type: ignore[override]
        self.rows = [*self.rows, pl_module.epoch_figures()]
        if trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with whole(self.path) as beside:
            beside.write_text(text.getvalue(), encoding="utf-8")


class TrainingProgress(Callback):
    """One count over all steps of all epochs, so that the time left is that of the training, not of an epoch.

    num_steps: of all epochs; None where all have as many.
    """

    def __init__(self, num_steps: int | None = None) -> None:
        self.num_steps = num_steps
        self.shown: Progress | None = None

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            num_steps = self.num_steps or int(trainer.estimated_stepping_batches)
            self.shown = Progress("train", num_steps, "steps", trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.shown is not None:
            self.shown.update(trainer.global_step - self.shown.num_done)

    def on_train_epoch_end(self, _: Trainer, pl_module: TrainedModule) -> None:  # type: ignore[override]
        if self.shown is not None:
            self.shown.note(pl_module.progress_note())

    def on_train_end(self, *_: Any) -> None:
        self._close()

    def on_exception(self, *_: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self.shown is not None:
            self.shown.close()
            self.shown = None


class SigtermAsBefore(Callback):
    """SIGTERM does what it did before training: Lightning's answer waits for processes that are at another point."""

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, *_: Any) -> None:
        signal.signal(signal.SIGTERM, self.handler)
