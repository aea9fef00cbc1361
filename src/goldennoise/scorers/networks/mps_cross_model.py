"""The network between image and text of the Multi-dimensional Preference Score (arXiv 2405.14705, section 4).

Blocks with one head of keys and values for all heads of queries, and feed-forward beside attention, on one norm.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_LAYERS, NUM_HEADS, HEAD_DIM, WIDENING = 4, 16, 64, 4
INNER_DIM = NUM_HEADS * HEAD_DIM
ROTARY_BASE = 10000.0


class CrossModel(nn.Module):
    """Image tokens that attend to text tokens and to each other. Tensors are named as published, without ".fn"."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList([CrossAttention(dim), SelfAttention(dim)]) for _ in range(NUM_LAYERS))

    def forward(self, images: Tensor, texts: Tensor, kept: Tensor) -> Tensor:
        """As `images`, (B, tokens, dim). texts: (B, words, dim); kept: which words are attended to, (B, words)."""
        layer: Any
        for layer in self.layers:
            images = images + layer[0](images, texts, kept)
            images = images + layer[1](images)
        return images


class SwiGlu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x, gate = x.chunk(2, dim=-1)
        return F.silu(gate) * x


class CrossAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, INNER_DIM, bias=False)
        self.to_kv = nn.Linear(dim, 2 * HEAD_DIM, bias=False)
        self.to_out = nn.Linear(INNER_DIM, dim, bias=False)
        self.ff = nn.Sequential(
            nn.Linear(dim, 2 * WIDENING * dim, bias=False), SwiGlu(), nn.Linear(WIDENING * dim, dim, bias=False)
        )

    def forward(self, x: Tensor, context: Tensor, kept: Tensor) -> Tensor:
        x = self.norm(x)
        keys, values = self.to_kv(context).chunk(2, dim=-1)
        return self.to_out(_attention(_heads(self.to_q(x)), keys, values, kept[:, None, None, :])) + self.ff(x)


class SelfAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.rotary_emb = Rotary()
        self.widths = (INNER_DIM, HEAD_DIM, HEAD_DIM, 2 * WIDENING * dim)
        self.fused_attn_ff_proj = nn.Linear(dim, sum(self.widths), bias=False)
        self.attn_out = nn.Linear(INNER_DIM, dim, bias=False)
        self.ff_out = nn.Sequential(SwiGlu(), nn.Linear(WIDENING * dim, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values, wide = self.fused_attn_ff_proj(self.norm(x)).split(self.widths, dim=-1)
        attended = _attention(self.rotary_emb(_heads(queries)), self.rotary_emb(keys), values, None)
        return self.attn_out(attended) + self.ff_out(wide)


class Rotary(nn.Module):
    """Rotary position embedding (arXiv 2104.09864) over the tokens of (..., tokens, HEAD_DIM)."""

    inv_freq: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("inv_freq", ROTARY_BASE ** -(torch.arange(0, HEAD_DIM, 2) / HEAD_DIM))

    def forward(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[-2], device=x.device)[:, None] * self.inv_freq.float().repeat(2)
        one, other = x.chunk(2, dim=-1)
        return (x * angles.cos() + torch.cat((-other, one), dim=-1) * angles.sin()).to(x.dtype)


def _heads(queries: Tensor) -> Tensor:
    return queries.unflatten(-1, (NUM_HEADS, HEAD_DIM)).transpose(1, 2)


def _attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """(B, tokens, INNER_DIM). queries: (B, heads, tokens, HEAD_DIM); keys, values: (B, others, HEAD_DIM)."""
    shared = (queries.shape[0], NUM_HEADS, *keys.shape[1:])
    keys, values = keys[:, None].expand(shared), values[:, None].expand(shared)
    attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return attended.transpose(1, 2).flatten(2)
