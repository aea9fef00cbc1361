"""How often a model is evaluated, told from its Config before it is loaded. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Amount:
    """A number that is known, or that lies between two bounds; `most` is None where nothing bounds it."""

    least: int
    most: int | None

    @classmethod
    def exactly(cls, number: int) -> Self:
        return cls(number, number)

    @property
    def is_known(self) -> bool:
        return self.least == self.most

    def __add__(self, other: "Amount") -> "Amount":
        ends = (self.most, other.most)
        return Amount(self.least + other.least, None if None in ends else sum(end for end in ends if end is not None))

    def __mul__(self, times: int) -> "Amount":
        return Amount(self.least * times, None if self.most is None else self.most * times)

    def __str__(self) -> str:
        """With thousands separators: "1,280", "0 to 64", "at least 64"."""
        if self.is_known:
            return f"{self.least:,}"
        return f"at least {self.least:,}" if self.most is None else f"{self.least:,} to {self.most:,}"


ZERO = Amount(0, 0)


@dataclass(frozen=True)
class Sampling:
    """A model's own sampler, as far as it decides how often the denoiser is evaluated.

    is_guided_by_input: whether guidance takes one pass whatever its scale. networks: folders of those trained networks
    of the run that exist, by reference.
    """

    num_steps: int
    guidance: float
    scheduler: str | None = None
    is_guided_by_input: bool = False
    networks: Mapping[str, Path] = field(default_factory=dict)

    def passes(self, guidance: float | None = None) -> int:
        """Of the denoiser at one noise level, two by classifier-free guidance. guidance: None for the model's own."""
        scale = self.guidance if guidance is None else guidance
        return 1 if self.is_guided_by_input or scale in (0.0, 1.0) else 2

    def image(self, num_steps: int | None = None, guidance: float | None = None) -> Amount:
        """Of an image by the model's sampler, such as that of `DiffusionModel.sample`; None for the model's own."""
        num = num_steps or self.num_steps
        return Amount.exactly(_num_timesteps(self.scheduler, num) * self.passes(guidance))

    def steps(self, num_steps: int | None = None, guidance: float | None = None) -> Amount:
        """Of an image in plain steps, of DDIM or along a flow, one evaluation each."""
        return Amount.exactly((num_steps or self.num_steps) * self.passes(guidance))


def _num_timesteps(scheduler: str | None, num_steps: int) -> int:
    """As diffusers counts them: Heun evaluates twice a step but for the last, PNDM once more at its second."""
    if scheduler == "heun":
        return 2 * num_steps - 1
    return num_steps + 1 if scheduler == "pndm" and num_steps > 1 else num_steps
