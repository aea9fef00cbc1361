from pathlib import Path

import numpy as np
import pytest
from unit.training.learnable import BRIEF, SMALL, FakeModel, write_pairs

from goldennoise.data.pairs.reader import PairReader
from goldennoise.training.engine.data import PairData, PairDataset, chosen_rows
from goldennoise.training.engine.frozen_inputs import open_frozen_inputs, write_frozen_inputs


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PairReader:
    """48 pairs of 24 prompts, 36 of them kept."""
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def rows(reader: PairReader) -> np.ndarray:
    return chosen_rows(reader, keep_rejected=False)


@pytest.fixture(scope="session")
def inputs_folder(reader: PairReader, rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_frozen_inputs(folder, reader, rows, FakeModel(), SMALL, prompts_at_once=5)
    return folder


@pytest.fixture(scope="session")
def data(reader: PairReader, rows: np.ndarray, inputs_folder: Path) -> PairData:
    return PairData(PairDataset(reader, rows, open_frozen_inputs(inputs_folder, reader, rows)), BRIEF, seed=0)
