"""Latents by their numbers, whatever parts they lie in."""

import warnings
from pathlib import Path

import torch
from unit.training.denoiser.world import noise_as_latents, training_data, world


def test_rows_of_one_process_are_read_without_a_warning(tmp_path: Path) -> None:
    latents = training_data(world(), tmp_path).latents
    rows = torch.tensor([3, 59, 24, 25, 0, 50])[1::2]
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = latents[rows]
    finally:
        torch.set_warn_always(before)
    assert torch.equal(found, noise_as_latents(60)[rows])
