"""Checkpoints of a training run: for resuming only, written whole or not at all, loaded without running code.

A file is the SHA-256 of what torch.save wrote, 32 bytes, and then that: torch itself does not see a flipped bit.
"""

import hashlib
import io
import logging
import math
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from goldennoise.errors import ArtifactError
from goldennoise.store.files import put, whole

LAST, BEFORE, BEST = "last.ckpt", "before.ckpt", "best.ckpt"
DIGEST_BYTES = 32

log = logging.getLogger(__name__)


class Last(Checkpoint):
    """`last.ckpt` at every epoch's end; `before.ckpt` is that of the epoch before.

    Lightning's ModelCheckpoint keeps absolute paths in its state and forgets the best one when the folder has moved.
    """

    def __init__(self, folder: Path) -> None:
        self.last, self.before = folder / LAST, folder / BEFORE

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.last)

    def resumable(self) -> str | None:
        """Path of the newer of the two checkpoints that is whole; None to begin with the first epoch.

        Damaged files are told in a warning.
        """
        there = [path for path in (self.last, self.before) if path.exists()]
        whole = [path for path in there if _is_whole(path)]
        if whole and self._suffices():
            return str(whole[0])
        if there:
            log.warning("no whole checkpoint is left in %s: training begins with the first epoch", self.last.parent)
        return None

    def _suffices(self) -> bool:
        """Whether the training can go on from `last.ckpt`."""
        return True


class LastAndBest(Last):
    """`best.ckpt` by validation loss too, before `last.ckpt`, which knows it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.best = folder / BEST
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
        super().on_train_epoch_end(trainer)

    def _suffices(self) -> bool:
        # With the best epoch's weights an earlier epoch would be lost for good.
        return _is_whole(self.best)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoint files that a killed run leaves whole or not at all, and that cannot run code when they are loaded."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, *_: Any, **__: Any) -> None:
        path = Path(path)
        # torch writing to a full disk reports a RuntimeError of its own; a file's write says what is wrong.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with whole(path) as beside, beside.open("wb") as file:
            file.write(hashlib.sha256(content.getbuffer()).digest())
            file.write(content.getbuffer())
            if path.name == LAST and path.is_file():
                put(path, path.with_name(BEFORE))

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `AtomicCheckpoints` saved, on the CPU. Raises `ArtifactError` for a file that is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}): delete it, then training goes on") from None
    state = memoryview(content)[DIGEST_BYTES:]
    if hashlib.sha256(state).digest() != content[:DIGEST_BYTES]:
        raise ArtifactError(f"{path} is damaged: its checksum is not its content's; delete it, then training goes on")
    try:
        return dict(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True))
    except UnpicklingError:
        raise ArtifactError(f"{path} holds more than tensors, which could run code: it is refused") from None


def _is_whole(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except ArtifactError as error:
        log.warning("%s", error)
        return False
    return True
