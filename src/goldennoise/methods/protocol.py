"""What a method works on and with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.errors import ConfigError
from goldennoise.methods.selection import Selector
from goldennoise.scorers.protocol import Scorer, refuse_reporting_only
from goldennoise.seeding import derive_seed, gaussian_noise, prompt_id


@dataclass(frozen=True)
class SampleBatch:
    """Samples of the (prompt, seed) grid: row i is prompt i with seed index i.

    source: (B, C, h, w) on the model's device. root_seed and seeds make further noise reproducible per sample.
    """

    prompts: list[str]
    seeds: list[int]
    embedding: PromptEmbedding
    source: Tensor
    root_seed: int = 0

    @property
    def step_seeds(self) -> list[int]:
        """Of a stochastic sampler's draws: the same for all noises of a sample, so that these alone differ."""
        return self._seeds("steps")

    def fresh_noise(self, purpose: str) -> Tensor:
        """New standard normal noise, shape, device and dtype of `source`, its own for every purpose and sample."""
        return gaussian_noise(self.source.shape[1:], self._seeds(purpose)).to(self.source)

    def _seeds(self, purpose: str) -> list[int]:
        return [
            derive_seed(self.root_seed, purpose, prompt_id(prompt), seed)
            for prompt, seed in zip(self.prompts, self.seeds, strict=True)
        ]


@dataclass(frozen=True)
class MethodTools:
    """What a method may need beside its config: the scorers of the run, and where a named artifact lies."""

    scorers: Mapping[str, Scorer]
    artifact_folder: Callable[[str, str], Path]
    """(kind, reference) -> folder, for example ("npnet", "shapes@latest")."""

    def selector(self, option: str, name: str) -> Selector:
        """The scorer `name`, chosen by `option`. Raises `ConfigError` if the run has none, or it only reports."""
        if name not in self.scorers:
            known = ", ".join(self.scorers) or "none"
            raise ConfigError(f"{option}={name}: this method needs a scorer of the run; the run has {known}")
        refuse_reporting_only(self.scorers[name], option)
        return Selector(self.scorers[name])
