from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from small_npnet import SMALL, make_inputs, make_network
from torch import Tensor

from goldennoise.networks.npnet.singular_values import SvdFactors, canonical

LIBRARY = torch.linalg.svd


def other_routine(matrix: Tensor, full_matrices: bool) -> tuple[Tensor, Tensor, Tensor]:
    """LAPACK's gesvd, where torch takes gesdd, with every sign flipped at random as another library might."""
    factors = [scipy.linalg.svd(one, full_matrices=full_matrices, lapack_driver="gesvd") for one in matrix.numpy()]
    u, s, vh = (torch.from_numpy(np.stack(parts)) for parts in zip(*factors, strict=True))
    signs = torch.randint(2, s.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    return u * signs[:, None, :], s, vh * signs[:, :, None]


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 6), (4, 5, 8)])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-3), (torch.float64, 1e-9)])
@pytest.mark.parametrize("canonical_signs", [True, False])
def test_two_svd_routines_agree_with_canonical_signs_only(
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    rounding: float,
    canonical_signs: bool,
) -> None:
    network = make_network(shape, replace(SMALL, canonical_signs=canonical_signs)).to(dtype)
    noise, text = (tensor.to(dtype) for tensor in make_inputs(shape))
    golden = network(noise, text)
    monkeypatch.setattr(torch.linalg, "svd", other_routine)
    difference = (network(noise, text) - golden).abs().max()
    assert (difference < rounding) if canonical_signs else (difference > 5e-3)


def test_canonical_factors_are_the_same_matrix_with_positive_largest_entries() -> None:
    matrix = make_inputs()[0].flatten(1, 2)
    u, s, vh = canonical(SvdFactors(*LIBRARY(matrix, full_matrices=False)))
    torch.testing.assert_close(u @ torch.diag_embed(s) @ vh, matrix, rtol=0, atol=1e-5)
    largest = u.gather(1, u.abs().argmax(dim=1, keepdim=True))
    assert largest.min() > 0


def test_rounding_does_not_decide_between_equally_large_entries() -> None:
    half = 0.5**0.5
    for rounding in (-1e-6, 0.0, 1e-6):
        for sign in (1.0, -1.0):
            u = sign * torch.tensor([[[half + rounding], [-half]]])
            factors = canonical(SvdFactors(u, torch.ones(1, 1), sign * torch.ones(1, 1, 1)))
            assert factors.u[0, 0, 0] > 0
            assert factors.vh.item() == 1.0
