"""Training in one process: it learns, it resumes, it stops on numbers that are none, it tells what it does."""

import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor
from unit.training.learnable import BRIEF, SMALL, FakeModel, write_pairs

from goldennoise.data.pairs.reader import PairReader
from goldennoise.errors import DataError, GoldenNoiseError, ModelError
from goldennoise.networks.npnet.network import NPNet
from goldennoise.training import objectives
from goldennoise.training.engine import fit
from goldennoise.training.engine.checkpoints import read_checkpoint
from goldennoise.training.engine.data import PairBatch
from goldennoise.training.engine.fit import Training, TrainingCounts, train_npnet
from goldennoise.training.engine.options import TrainingOptions
from goldennoise.training.engine.trainer import Setting
from goldennoise.training.objectives.regression import Loss as Regression

QUIET = Setting(progress_bar=False)


def trained(
    reader: PairReader, folder: Path, options: TrainingOptions = BRIEF, setting: Setting = QUIET
) -> tuple[NPNet, TrainingCounts]:
    return train_npnet(Training(reader, FakeModel(), SMALL, options, Regression(options), folder, setting=setting))


@pytest.fixture(scope="module")
def learnt(reader: PairReader, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NPNet, TrainingCounts]:
    """A training long enough to learn something, with sample images."""
    folder = tmp_path_factory.mktemp("learnt")
    options = replace(BRIEF, num_epochs=12, batch_size=4, schedule="cosine", sample_every_epochs=5, num_samples=3)
    deterministic = torch.are_deterministic_algorithms_enabled()
    network, counts = trained(reader, folder, options)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    return folder, network, counts


def test_a_learnable_target_is_learnt(learnt: tuple[Path, NPNet, TrainingCounts]) -> None:
    folder, network, counts = learnt
    history = pd.read_csv(folder / "training.csv")
    assert history["train_loss"].iloc[-1] < 0.75 * history["train_loss"].iloc[0]
    assert counts.val_loss < 0.9 * counts.identity_val_loss
    assert not network.training
    assert (counts.num_pairs, counts.num_prompts, counts.num_epochs) == (36, 18, 12)
    assert counts.num_parameters == sum(weight.numel() for weight in network.parameters())


def test_the_history_has_a_row_per_epoch(learnt: tuple[Path, NPNet, TrainingCounts]) -> None:
    folder, network, counts = learnt
    history = pd.read_csv(folder / "training.csv")
    assert list(history.columns) == [
        *("epoch", "step", "train_loss", "val_loss", "learning_rate", "gradient_norm", "alpha", "beta")
    ]
    assert history["epoch"].tolist() == list(range(1, 13))
    assert history["step"].tolist() == [7 * epoch for epoch in range(1, 13)]
    assert history["learning_rate"].is_monotonic_decreasing
    assert 0 < history["learning_rate"].iloc[-1] < 0.01 * BRIEF.learning_rate
    best = history.iloc[int(history["val_loss"].argmin())]
    assert (best["epoch"], best["val_loss"]) == (counts.best_epoch, counts.val_loss)
    assert math.isclose(best["alpha"], network.alpha.item(), rel_tol=1e-6)


class WorseInTheEnd(fit.NoiseTraining):
    """The validation loss rises in the third epoch."""

    def pair_losses(self, batch: PairBatch) -> torch.Tensor:
        losses = super().pair_losses(batch)
        return losses if self.training or self.current_epoch < 2 else 10 * losses


def test_the_network_is_that_of_the_best_epoch_not_of_the_last(
    reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "NoiseTraining", WorseInTheEnd)
    network, counts = trained(reader, tmp_path, replace(BRIEF, num_epochs=3))
    assert counts.best_epoch == 2
    alphas = pd.read_csv(tmp_path / "training.csv")["alpha"]
    assert network.alpha.item() == pytest.approx(alphas[1], rel=1e-6)
    assert network.alpha.item() != pytest.approx(alphas[2], rel=1e-3)


def test_sample_images_show_source_and_golden_side_by_side(learnt: tuple[Path, NPNet, TrainingCounts]) -> None:
    samples = learnt[0] / "samples"
    assert sorted(path.name for path in samples.iterdir()) == ["epoch-0005.png", "epoch-0010.png", "epoch-0012.png"]
    early, late = (np.asarray(Image.open(samples / f"epoch-00{epoch}.png")) for epoch in ("05", "12"))
    assert early.shape == (3 * 4, 2 * 4, 3)
    assert (early[:, :4] == late[:, :4]).all()
    assert (early[:, 4:] != late[:, 4:]).any()
    assert (late[:, :4] != late[:, 4:]).any()


def test_a_training_that_is_over_is_not_repeated(
    learnt: tuple[Path, NPNet, TrainingCounts], reader: PairReader
) -> None:
    folder, network, counts = learnt
    last = (folder / "work/last.ckpt").stat().st_mtime_ns
    options = replace(BRIEF, num_epochs=12, batch_size=4, schedule="cosine", sample_every_epochs=5, num_samples=3)
    again, counts_again = trained(reader, folder, options)
    assert counts_again == counts
    assert (folder / "work/last.ckpt").stat().st_mtime_ns == last
    assert all(
        torch.equal(weight, other) for weight, other in zip(again.parameters(), network.parameters(), strict=True)
    )


class Interrupted(fit.NoiseTraining):
    """Ctrl-C in the middle of the second epoch, at the first attempt."""

    steps: ClassVar[list[int]] = []

    def pair_losses(self, batch: PairBatch) -> torch.Tensor:
        if self.training:
            self.steps.append(self.global_step)
            if self.steps == [0, 1, 2, 3, 4, 5, 6]:
                raise KeyboardInterrupt
        return super().pair_losses(batch)


@pytest.mark.parametrize(("schedule", "num_workers"), [("cosine", 0), ("cosine", 1), ("constant", 1)])
def test_a_training_stopped_by_ctrl_c_goes_on_as_if_it_had_not_been(
    reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str, num_workers: int
) -> None:
    monkeypatch.setattr(Interrupted, "steps", [])
    options = replace(BRIEF, num_epochs=3, schedule=schedule)
    (tmp_path / "long").mkdir()
    (tmp_path / "stopped").mkdir()
    expected, expected_counts = trained(reader, tmp_path / "long", options)
    monkeypatch.setattr(fit, "NoiseTraining", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(reader, tmp_path / "stopped", options)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    # The folder may have moved in between.
    (tmp_path / "stopped").rename(tmp_path / "moved")
    network, counts = trained(reader, tmp_path / "moved", options, replace(QUIET, num_workers=num_workers))
    assert Interrupted.steps[7:] == [4, 5, 6, 7, 8, 9, 10, 11]
    assert counts == expected_counts
    histories = [(tmp_path / folder / "training.csv").read_text() for folder in ("long", "moved")]
    assert histories[0] == histories[1]
    assert all(map(torch.equal, network.parameters(), expected.parameters()))


@pytest.mark.parametrize("damaged", [["last"], ["last", "before"], ["best"]])
def test_damaged_checkpoints_cost_epochs_and_change_nothing(
    reader: PairReader, tmp_path: Path, damaged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    options = replace(BRIEF, num_epochs=4, schedule="cosine")
    expected, expected_counts = trained(reader, tmp_path, options)
    history = (tmp_path / "training.csv").read_text()
    for name in damaged:
        file = tmp_path / "work" / f"{name}.ckpt"
        file.write_bytes(file.read_bytes()[:-1])
    network, counts = trained(reader, tmp_path, options)
    assert all(f"{name}.ckpt is damaged" in caplog.text for name in damaged)
    assert counts == expected_counts
    assert (tmp_path / "training.csv").read_text() == history
    assert all(map(torch.equal, network.parameters(), expected.parameters()))


class Spoilt(fit.NoiseTraining):
    """The loss is NaN from optimiser step 7 on."""

    def pair_losses(self, batch: PairBatch) -> torch.Tensor:
        losses = super().pair_losses(batch)
        return losses * math.nan if self.training and self.global_step >= 6 else losses


def test_a_loss_that_is_no_number_stops_with_the_step_and_keeps_the_checkpoint(
    reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "NoiseTraining", Spoilt)
    with pytest.raises(GoldenNoiseError, match=r"step 7 \(epoch 2\): the loss became nan; .* epoch 1;"):
        trained(reader, tmp_path)
    state = read_checkpoint(tmp_path / "work/last.ckpt")
    assert (state["epoch"], state["global_step"]) == (0, 4)
    assert all(weight.isfinite().all() for weight in state["state_dict"].values())
    assert len(pd.read_csv(tmp_path / "training.csv")) == 1


def test_infinite_golden_noise_stops_at_the_first_step(reader: PairReader, tmp_path: Path) -> None:
    options = replace(BRIEF, learning_rate=1.0, gradient_clip=None, num_epochs=1, batch_size=28)
    source, golden = reader.noise(np.arange(len(reader)))
    infinite = write_pairs(tmp_path / "pairs")
    infinite.noise = lambda rows: (source[rows], golden[rows] * 1e30)
    with pytest.raises(GoldenNoiseError, match=r"step 1 \(epoch 1\): the loss became inf; no epoch was complete"):
        trained(infinite, tmp_path / "run", options)


class SpoiltInValidation(fit.NoiseTraining):
    """Only the validation loss is NaN."""

    def pair_losses(self, batch: PairBatch) -> torch.Tensor:
        return super().pair_losses(batch) * (1.0 if self.training else math.nan)


def test_a_validation_loss_that_is_no_number_is_not_saved(
    reader: PairReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "NoiseTraining", SpoiltInValidation)
    with pytest.raises(GoldenNoiseError, match=r"step 4 \(epoch 1\): the validation loss became nan"):
        trained(reader, tmp_path)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_model_of_other_latents_is_refused(reader: PairReader, tmp_path: Path) -> None:
    model = FakeModel()
    model.latent_shape = (4, 8, 8)
    with pytest.raises(ModelError, match=r"fake makes latents \(4, 8, 8\), and the pairs hold \(4, 4, 4\)"):
        train_npnet(Training(reader, model, SMALL, BRIEF, Regression(BRIEF), tmp_path, setting=QUIET))


def test_pairs_of_which_none_is_kept_are_refused(reader: PairReader, tmp_path: Path) -> None:
    none_kept = PairReader(reader.folder)
    none_kept.index = none_kept.index.assign(kept=False)
    with pytest.raises(DataError, match=r"none of the 48 pairs passed .* stage.keep_rejected=true"):
        trained(none_kept, tmp_path)
    _, counts = trained(none_kept, tmp_path, replace(BRIEF, keep_rejected=True, num_epochs=1))
    assert (counts.num_pairs, counts.num_prompts) == (48, 24)


@pytest.mark.parametrize("is_deterministic", [True, False])
def test_a_scorer_may_resize_images_though_that_has_no_deterministic_gradient_on_a_gpu(
    reader: PairReader, tmp_path: Path, is_deterministic: bool
) -> None:
    seen: set[bool] = set()

    class Watching(Regression):
        def losses(self, predicted: Tensor, batch: PairBatch) -> Tensor:
            if torch.are_deterministic_algorithms_enabled():
                seen.add(torch.is_deterministic_algorithms_warn_only_enabled())
            return super().losses(predicted, batch)

    Watching.is_deterministic = is_deterministic
    options = replace(BRIEF, num_epochs=1)
    train_npnet(Training(reader, FakeModel(), SMALL, options, Watching(options), tmp_path, setting=QUIET))
    assert seen == {not is_deterministic}
    deterministic = {kind: objectives.component(kind).Loss.is_deterministic for kind in objectives.kinds()}
    assert [kind for kind, is_so in deterministic.items() if not is_so] == ["reward"]


@pytest.mark.parametrize("native", [True, False])
def test_bf16_and_data_loader_workers(
    reader: PairReader, tmp_path: Path, native: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("goldennoise.training.engine.trainer.computes_natively", lambda *_: native)
    options = replace(BRIEF, precision="bf16-mixed", num_epochs=1)
    network, counts = trained(reader, tmp_path, options, replace(QUIET, num_workers=1))
    assert all(weight.dtype == torch.float32 for weight in network.parameters())
    assert counts.val_loss < 1.1 * counts.identity_val_loss
    assert ("stage.precision=bf16-mixed: no instructions for it on this CPU" in caplog.text) is not native
