"""The best epoch is remembered over a restart, and a checkpoint cannot run code."""

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from goldennoise.errors import ArtifactError
from goldennoise.training.engine.checkpoints import AtomicCheckpoints, LastAndBest


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
    written = io.BytesIO()
    torch.save({"code": SimpleNamespace()}, written)
    path.write_bytes(hashlib.sha256(written.getvalue()).digest() + written.getvalue())
    with pytest.raises(ArtifactError, match=r"last\.ckpt holds more than tensors, which could run code"):
        AtomicCheckpoints().load_checkpoint(path, weights_only=False)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def junk(path: Path) -> None:
    path.write_bytes(b"junk")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE = (truncated, flipped, junk, empty, a_folder)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    found, checkpoints = LastAndBest(tmp_path), AtomicCheckpoints()
    assert found.resumable() is None
    checkpoints.save_checkpoint({"epoch": 0}, found.best)
    for epoch in range(3):
        checkpoints.save_checkpoint({"epoch": epoch, "weight": torch.rand(999)}, found.last)
    assert not caplog.text
    for expected in (found.last, found.before, None):
        assert found.resumable() == (expected and str(expected))
        if expected is not None:
            damage(expected)
    assert f"{found.last} " in caplog.text
    assert "training begins with the first epoch" in caplog.text


def test_without_the_weights_of_the_best_epoch_training_begins_again(tmp_path: Path) -> None:
    found, checkpoints = LastAndBest(tmp_path), AtomicCheckpoints()
    for path in (found.best, found.last):
        checkpoints.save_checkpoint({"epoch": 0, "weight": torch.rand(999)}, path)
    flipped(found.best)
    assert found.resumable() is None
