"""What a denoiser is told beside latents: the prompt's embeddings by name, and the timestep of each row."""

import torch
from torch import Tensor

from goldennoise.diffusion.protocol import PromptEmbedding

Conditioning = dict[str, Tensor]
"""Each (B, ...): "text", and further parts a family names."""


def conditionings(embedding: PromptEmbedding) -> tuple[Conditioning, Conditioning]:
    """What the passes with and without the prompt are told."""
    names = [name for name in embedding.extra if not name.startswith("uncond_")]
    given = {"text": embedding.cond} | {name: embedding.extra[name] for name in names}
    return given, {"text": embedding.uncond} | {name: embedding.extra[f"uncond_{name}"] for name in names}


def each_row(timestep: float | Tensor, latents: Tensor) -> Tensor:
    """One timestep for each of the latents (B, ...), as transformers take it: (B,)."""
    return torch.as_tensor(timestep, device=latents.device).expand(len(latents))
