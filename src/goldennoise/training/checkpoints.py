"""Checkpoints of a training run: for resuming only, written whole or not at all, loaded without running code."""

import io
import math
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint


class LastAndBest(Checkpoint):
    """`best.ckpt` by validation loss, then `last.ckpt`, which knows it, at every epoch's end.

    Lightning's ModelCheckpoint keeps absolute paths in its state and forgets the best one when the folder has moved.
    """

    def __init__(self, folder: Path) -> None:
        self.last = folder / "last.ckpt"
        self.best = folder / "best.ckpt"
        self.best_loss = math.inf
        self.best_epoch = 0

    def state_dict(self) -> dict[str, Any]:
        return {"best_loss": self.best_loss, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_loss = state_dict["best_loss"]
        self.best_epoch = state_dict["best_epoch"]

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        loss = trainer.callback_metrics["val_loss"].item()
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, trainer.current_epoch + 1
            trainer.save_checkpoint(self.best, weights_only=True)
        trainer.save_checkpoint(self.last)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoint files that a killed run leaves whole or not at all, and that cannot run code when they are loaded."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, *_: Any, **__: Any) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.tmp")
        # torch writing to a full disk reports a RuntimeError of its own; a file's write says what is wrong.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with beside.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
