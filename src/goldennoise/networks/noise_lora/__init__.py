"""Networks that are a LoRA on the text-to-image model's own denoiser (docs/science.md). Imports no torch."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from goldennoise.errors import ModelError, shortened
from goldennoise.networks.base import Architecture, NetworkInputs
from goldennoise.store.options import Check, number, option

LINEAR, CONVOLUTION = 2, 5
"""Numbers that describe a layer: its inputs and outputs; of a convolution also the sides of kernel, step, padding."""

LAST = {"conv_out": "unet", "proj_out": "transformer"}
"""Name of the last layer -> what diffusers calls such a denoiser."""


@dataclass(frozen=True)
class Config(Architecture):
    """Of `goldennoise.networks.noise_lora.network.NoiseLora`."""

    needs_model: ClassVar[bool] = True

    kind: str = option("noise_lora", Check(lambda kind: kind == "noise_lora", "noise_lora"))
    """Of this kind of network."""
    rank: int = option(16, number(least=1))
    """Of the LoRA."""


@dataclass(frozen=True)
class NetworkConfig(NetworkInputs):
    """A LoRA for the denoiser of one text-to-image model.

    Raises `ModelError` for layers that no denoiser has.
    """

    architecture: Config = field(default_factory=Config)
    """Its rank."""
    layers: dict[str, list[int]] = field(default_factory=dict)
    """Name in the denoiser -> `LINEAR` or `CONVOLUTION` numbers, of every layer that it adapts."""
    num_steps: int = 1
    """Of the sampler at whose first timestep it is evaluated."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_steps < 1:
            raise ModelError(f"num_steps={self.num_steps} is no number of steps: at least 1.")
        for name, numbers in self.layers.items():
            if not _describes(name, numbers):
                raise ModelError(
                    f"layers.{shortened(name)}={shortened(str(numbers))} is no linear layer and no convolution."
                )

    @property
    def denoiser(self) -> str:
        """Its name in a pipeline of diffusers, with which the names of tensors begin."""
        return next((denoiser for last, denoiser in LAST.items() if last in self.layers), "unet")

    def on(self, model: Any) -> Self:
        """Adapts the linear layers and convolutions that a pass of the denoiser runs through."""
        from goldennoise.networks.noise_lora.layers import layers_of

        layers = layers_of(model)
        if not layers.keys() & LAST.keys():
            raise ModelError(
                f"A {type(model.network).__name__} has no last layer called {' or '.join(LAST)}, so no noise LoRA can "
                "be trained for it: choose another npnet."
            )
        return replace(self, layers=layers, num_steps=model.num_steps)


def _describes(name: str, numbers: Any) -> bool:
    is_name = all(part.isidentifier() or part.isdecimal() for part in name.split("."))
    if not is_name or not isinstance(numbers, list | tuple) or len(numbers) not in (LINEAR, CONVOLUTION):
        return False
    # Only a padding may be 0.
    return all(type(one) is int for one in numbers) and min(numbers[:4]) >= 1 and min(numbers) >= 0
