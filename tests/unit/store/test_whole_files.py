"""Files written whole: who may read them."""

import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from goldennoise.store.files import whole


def test_weights_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with whole(tmp_path / "model.safetensors") as beside:
            save_file({"a": torch.zeros(3)}, beside)
        with whole(tmp_path / "text") as beside:
            beside.write_text("a")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("model.safetensors", "text")] == [0o644, 0o644]
