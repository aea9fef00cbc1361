"""Prompt embeddings and factors are computed once, belong to their pair, and equal fresh ones."""

import logging
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from unit.training.learnable import BRIEF, LATENT, SMALL, TEXT, FakeModel, text_of

from goldennoise.data.pairs.reader import PairReader
from goldennoise.errors import ArtifactError
from goldennoise.networks.layouts import Config as LayoutArchitecture
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.singular_values import svd_factors
from goldennoise.training.engine.fit import Training, train_npnet
from goldennoise.training.engine.frozen_inputs import ComputedInputs, open_frozen_inputs, write_frozen_inputs
from goldennoise.training.engine.options import WORK
from goldennoise.training.objectives.regression import Loss

SHUFFLED = np.array([11, 3, 30, 3, 0])


def test_every_pair_has_its_own_prompt(reader: PairReader, rows: np.ndarray, inputs_folder: Path) -> None:
    embeds = open_frozen_inputs(inputs_folder, reader, rows).prompts(SHUFFLED)
    texts = reader.index["prompt"].iloc[rows[SHUFFLED]]
    assert embeds.shape == (5, *TEXT)
    assert torch.equal(embeds, torch.stack([text_of(text) for text in texts]))


def test_the_factors_are_those_of_the_pairs_source(reader: PairReader, rows: np.ndarray, inputs_folder: Path) -> None:
    cached = open_frozen_inputs(inputs_folder, reader, rows).frozen_of(SHUFFLED)
    fresh = svd_factors(reader.noise(rows[SHUFFLED])[0], NPNetConfig(LATENT, TEXT[0], TEXT[1], SMALL))
    assert cached
    for part, expected in zip(cached, fresh, strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-6)


def test_the_arrays_stay_on_disk(reader: PairReader, rows: np.ndarray, inputs_folder: Path) -> None:
    inputs = open_frozen_inputs(inputs_folder, reader, rows)
    assert len(inputs.frozen) == 3
    assert all(isinstance(part, np.memmap) for part in (inputs.prompt_embeds, *inputs.frozen))


def test_each_prompt_is_encoded_once_and_never_again(reader: PairReader, rows: np.ndarray, tmp_path: Path) -> None:
    model = FakeModel()
    write_frozen_inputs(tmp_path, reader, rows, model, SMALL, prompts_at_once=4)
    prompts = reader.index["prompt"].iloc[rows].drop_duplicates().tolist()
    # The first one tells the shape beforehand.
    assert model.encoded == [prompts[0], *prompts]
    write_frozen_inputs(tmp_path, reader, rows, model, SMALL)
    assert len(model.encoded) == len(prompts) + 1


def nothing(_: Path) -> None: ...


def unfinished(folder: Path) -> None:
    (folder / "contents.json").unlink()


def no_json(folder: Path) -> None:
    (folder / "contents.json").write_text("{")


def truncated(folder: Path) -> None:
    (folder / "frozen_0.npy").write_bytes((folder / "frozen_0.npy").read_bytes()[:-8])


def a_folder(folder: Path) -> None:
    (folder / "frozen_1.npy").unlink()
    (folder / "frozen_1.npy").mkdir()


@pytest.mark.parametrize("damage", [nothing, unfinished, no_json, truncated, a_folder])
def test_other_pairs_or_a_damaged_folder_are_computed_again(
    reader: PairReader, rows: np.ndarray, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    model = FakeModel()
    write_frozen_inputs(tmp_path, reader, rows, model, SMALL)
    damage(tmp_path)
    rows = rows[:10] if damage is nothing else rows
    write_frozen_inputs(tmp_path, reader, rows, model, SMALL)
    assert len(model.encoded) > 19
    assert {len(part) for part in open_frozen_inputs(tmp_path, reader, rows).frozen} == {len(rows)}


def test_a_network_that_draws_layouts_takes_no_factors(reader: PairReader, rows: np.ndarray, tmp_path: Path) -> None:
    write_frozen_inputs(tmp_path, reader, rows, FakeModel(), LayoutArchitecture(rank=8))
    inputs = open_frozen_inputs(tmp_path, reader, rows)
    assert inputs.frozen_of(SHUFFLED) == ()
    assert inputs.prompts(SHUFFLED).shape == (5, *TEXT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contents.json", "prompt_embeds.npy"]


def test_computed_inputs_are_those_on_the_disk(reader: PairReader, rows: np.ndarray, inputs_folder: Path) -> None:
    model = FakeModel()
    computed = ComputedInputs(reader, rows, model, SMALL, prompts_at_once=2)
    stored = open_frozen_inputs(inputs_folder, reader, rows)
    assert computed.prompt_embeds.shape == stored.prompt_embeds.shape
    assert torch.equal(computed.prompts(SHUFFLED), stored.prompts(SHUFFLED))
    assert np.array_equal(computed.prompt_of, stored.prompt_of)
    for part, expected in zip(computed.frozen_of(SHUFFLED), stored.frozen_of(SHUFFLED), strict=True):
        assert torch.equal(part, expected)
    # The first one tells the shape; two of the five pairs have the same prompt.
    assert len(model.encoded) == 1 + len(set(stored.prompt_of[SHUFFLED]))


def test_a_network_trained_without_files_is_the_same(reader: PairReader, tmp_path: Path) -> None:
    networks = []
    for kind in ("disk", "compute"):
        options = replace(BRIEF, frozen_inputs=kind)
        training = Training(reader, FakeModel(), SMALL, options, Loss(options, None, None), tmp_path / kind)
        networks.append(train_npnet(training)[0].state_dict())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    assert list((tmp_path / "disk").rglob("*.npy"))
    assert not list((tmp_path / "compute").rglob("*.npy"))
    assert not (tmp_path / "compute" / WORK / "inputs").exists()


def stored_bytes(folder: Path) -> int:
    """Of the arrays without the headers of their files."""
    return sum(np.load(file, mmap_mode="r").nbytes for file in folder.glob("*.npy"))


@pytest.mark.parametrize("spare", [0, -1])
def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(
    reader: PairReader,
    rows: np.ndarray,
    inputs_folder: Path,
    tmp_path: Path,
    spare: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    usage = namedtuple("usage", "free")(stored_bytes(inputs_folder) + spare)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    caplog.set_level(logging.INFO)
    if spare < 0:
        with pytest.raises(ArtifactError, match=r"need 2\d\.\d KiB.* free: .*stage\.frozen_inputs=compute"):
            write_frozen_inputs(tmp_path, reader, rows, FakeModel(), SMALL)
        assert not list(tmp_path.iterdir())
        return
    write_frozen_inputs(tmp_path, reader, rows, FakeModel(), SMALL)
    assert "KiB in" in caplog.text
    assert str(tmp_path) in caplog.text
    assert "stage.frozen_inputs=compute" in caplog.text
