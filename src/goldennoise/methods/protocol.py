"""What a method works on."""

from dataclasses import dataclass

from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.runtime.seeding import derive_seed, gaussian_noise


@dataclass(frozen=True)
class SampleBatch:
    """Samples of the (prompt, seed) grid: row i is prompt i with seed index i.

    source: (B, C, h, w) on the model's device. root_seed and seeds make further noise reproducible per sample.
    """

    prompts: list[Prompt]
    seeds: list[int]
    embedding: PromptEmbedding
    source: Tensor
    root_seed: int = 0

    @property
    def step_seeds(self) -> list[int]:
        """Of a stochastic sampler's draws: the same for all noises of a sample, so that these alone differ."""
        return self.derived_seeds("steps")

    def fresh_noise(self, purpose: str) -> Tensor:
        """New standard normal noise, shape, device and dtype of `source`, its own for every purpose and sample."""
        return gaussian_noise(self.source.shape[1:], self.derived_seeds(purpose)).to(self.source)

    def derived_seeds(self, purpose: str) -> list[int]:
        """One for each sample."""
        return [
            derive_seed(self.root_seed, purpose, prompt.id, seed)
            for prompt, seed in zip(self.prompts, self.seeds, strict=True)
        ]
