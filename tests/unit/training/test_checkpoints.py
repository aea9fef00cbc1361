"""The best epoch is remembered over a restart, and a checkpoint cannot run code."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from goldennoise.training.checkpoints import AtomicCheckpoints, LastAndBest


def epochs(callback: LastAndBest, losses: Sequence[float], first: int = 0) -> list[str]:
    """What is saved while epochs with these validation losses go by."""
    saved: list[str] = []
    for epoch, loss in enumerate(losses, start=first):
        trainer = SimpleNamespace(
            callback_metrics={"val_loss": torch.tensor(loss)},
            current_epoch=epoch,
            save_checkpoint=lambda path, **_: saved.append(Path(path).stem),
        )
        callback.on_train_epoch_end(trainer)  # type: ignore[arg-type]
    return saved


def test_last_is_saved_every_epoch_and_after_best(tmp_path: Path) -> None:
    callback = LastAndBest(tmp_path)
    assert epochs(callback, [3.0, 1.0, 2.0, 1.0]) == ["best", "last", "best", "last", "last", "last"]
    assert (callback.best_epoch, callback.best_loss) == (2, 1.0)


def test_a_restarted_run_knows_the_best_epoch(tmp_path: Path) -> None:
    before, after = LastAndBest(tmp_path), LastAndBest(tmp_path)
    epochs(before, [3.0, 1.0])
    after.load_state_dict(before.state_dict())
    assert epochs(after, [2.0, 0.5], first=2) == ["last", "best", "last"]
    assert after.best_epoch == 4


def test_checkpoints_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "work/last.ckpt"
    AtomicCheckpoints().save_checkpoint({"weight": torch.ones(2)}, path)
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
    assert torch.equal(AtomicCheckpoints().load_checkpoint(path)["weight"], torch.ones(2))


def test_a_checkpoint_with_code_in_it_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"code": SimpleNamespace()}, path)
    with pytest.raises(pickle.UnpicklingError):
        AtomicCheckpoints().load_checkpoint(path, weights_only=False)
