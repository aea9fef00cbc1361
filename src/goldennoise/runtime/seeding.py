"""Seeds derived from (root seed, purpose, prompt id): a sample's noise is the same in every batch, shard and order."""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def normalised(text: str) -> str:
    """A prompt as it is compared: Unicode NFKC, lower case, single spaces. Two prompts are the same if this is."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def prompt_id(text: str) -> str:
    """First 16 hex digits of the SHA-256 of the normalised text."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()[:16]


def derive_seed(root_seed: int, purpose: str, prompt_id: str, index: int = 0) -> int:
    """A seed in [0, 2**63) for one sample; other purposes and indices give independent seeds."""
    digest = hashlib.sha256(f"{root_seed}/{purpose}/{prompt_id}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def gaussian_noise(shape: Sequence[int], seeds: Sequence[int]) -> "Tensor":
    """Standard normal noise (len(seeds), *shape), fp32 on the CPU, row i from its own generator with seeds[i]."""
    # Prompt ids are needed where loading torch would be seconds of waiting for a message.
    import torch

    return torch.stack([torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn inside from torch's generator of the CPU depends on `seed` alone; its state is left as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also reseed the GPUs, which fork_rng does not restore here.
        torch.default_generator.manual_seed(seed)
        yield
