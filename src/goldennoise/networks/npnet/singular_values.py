"""The singular-value branch S of NPNet: keeps the singular vectors of the noise and predicts its singular values."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldennoise.networks.npnet import NetworkConfig

SIGN_TIE = 1e-3
"""Entries within this share of the largest magnitude count as equally large: well above the error of an fp32 SVD."""


class SvdFactors(NamedTuple):
    """X = U diag(s) Vh with k = min(rows, columns) singular values in descending order."""

    u: Tensor
    """(B, rows, k), left singular vectors in columns."""
    s: Tensor
    """(B, k)."""
    vh: Tensor
    """(B, k, columns), right singular vectors in rows."""


def to_matrix(noise: Tensor, channel_grid: tuple[int, int]) -> Tensor:
    """(B, C, h, w) to (B, a h, c w): channel i is the block in row i // c, column i % c of an a x c grid."""
    (num, _, height, width), (a, c) = noise.shape, channel_grid
    return noise.reshape(num, a, c, height, width).transpose(2, 3).reshape(num, a * height, c * width)


def from_matrix(matrix: Tensor, latent_shape: tuple[int, int, int], channel_grid: tuple[int, int]) -> Tensor:
    """The inverse of `to_matrix`."""
    (channels, height, width), (a, c) = latent_shape, channel_grid
    blocks = matrix.reshape(-1, a, height, c, width).transpose(2, 3)
    return blocks.reshape(-1, channels, height, width)


def svd_factors(noise: Tensor, config: NetworkConfig) -> SvdFactors:
    """Singular-value decomposition of noise (B, C, h, w) as a matrix, at least in fp32, on the noise's device.

    With `canonical_signs` the first of the largest entries of each left vector is positive, so that the factors do not
    depend on the library that computes them; without, the signs are the library's.
    """
    matrix = to_matrix(noise, config.channel_grid)
    factors = SvdFactors(*torch.linalg.svd(matrix.to(_at_least_fp32(matrix.dtype)), full_matrices=False))
    return canonical(factors) if config.architecture.canonical_signs else factors


def canonical(factors: SvdFactors) -> SvdFactors:
    """The same matrix, with the first of the largest entries of each left singular vector positive."""
    u, s, vh = factors
    magnitude = u.abs()
    large = magnitude >= (1 - SIGN_TIE) * magnitude.amax(dim=1, keepdim=True)
    first = large.int().argmax(dim=1, keepdim=True)
    signs = torch.where(u.gather(1, first) < 0, -1.0, 1.0).to(u.dtype)
    return SvdFactors(u * signs, s, vh * signs.mT)


def _at_least_fp32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


class VectorAttention(nn.Module):
    """Multi-head self-attention over the singular vectors; qkv without bias, projection with bias."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, k, width) to (B, k, width)."""
        num, length, width = vectors.shape
        qkv = self.qkv(vectors).reshape(num, length, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(num, length, width))


def _two_layers(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, hidden), nn.ReLU(), nn.Linear(hidden, width_out))


class SingularValueBranch(nn.Module):
    """S(x) = U diag(MLP4(mean m) + s) Vh, m from the singular vectors and values (arXiv 2411.09502, section 3.2).

    With `vector_mean` "after", it is the mean of MLP4(m) in place of MLP4(mean m).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        architecture, k = config.architecture, config.num_values
        rows, columns = config.matrix_shape
        self.config = config
        self.left = _two_layers(rows, architecture.vector_hidden, k)
        self.right = _two_layers(columns, architecture.vector_hidden, k)
        self.values = nn.Linear(k, k)
        self.attention = VectorAttention(k, architecture.attention_heads) if architecture.svd_attention else None
        self.change = _two_layers(k, architecture.value_hidden, k)
        # An untrained network is then the identity; from random changes a short training does not find back to it.
        for parameter in self.change[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, factors: SvdFactors) -> Tensor:
        """(B, C, h, w) in the precision of the factors."""
        u, s, vh = factors
        dtype = self.values.weight.dtype
        mixed = self.left(u.mT.to(dtype)) + self.right(vh.to(dtype)) + self.values(s.to(dtype))[:, None, :]
        if self.attention is not None:
            mixed = self.attention(mixed)
        if self.config.vector_mean == "before":
            change = self.change(mixed.mean(dim=1))
        else:
            change = self.change(mixed).mean(dim=1)
        values = change.to(s.dtype) + s
        # Rebuilding the noise in bf16 would add an error larger than what the branch learns.
        with torch.autocast(s.device.type, enabled=False):
            matrix = (u * values[:, None, :]) @ vh
        return from_matrix(matrix, self.config.latent_shape, self.config.channel_grid)
