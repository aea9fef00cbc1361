"""Golden noise from the denoiser itself: a LoRA turns one evaluation into a change of the noise (arXiv 2508.09968)."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from goldennoise.errors import ModelError
from goldennoise.networks.network import GoldenNetwork
from goldennoise.networks.noise_lora import LAST, LINEAR, NetworkConfig
from goldennoise.runtime.seeding import seeded


class NoiseLora(GoldenNetwork):
    """golden = noise + output of the denoiser with this LoRA, at the first timestep of sampling, for the prompt alone.

    Of the denoiser's last layer the LoRA's part alone is taken, so that nothing changes before training. Tensors are
    named as in a file of diffusers, whose `load_lora_weights` reads them. The model is called as it is, and is left as
    it was.
    """

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        for name, numbers in config.layers.items():
            _place(self, f"{config.denoiser}.{name}", Adapter(numbers, config.architecture.rank))

    def forward(self, *_: Any) -> Tensor:
        raise ModelError("A noise LoRA works inside its model's denoiser: call predict, with the model.")

    def predict(self, model: Any, noise: Tensor, embedding: Any) -> Tensor:
        """Raises `ModelError` for a model with another denoiser."""
        self.config.check(noise, embedding.cond)
        # What was compiled before takes no notice of hooks.
        with self._attached(model.network), torch.compiler.set_stance("force_eager"):
            change = model.first_output(noise, embedding, self.config.num_steps)
        return (noise.float() + change.float()).to(noise.dtype)

    @contextmanager
    def _attached(self, denoiser: nn.Module) -> Iterator[None]:
        """Inside, every layer's output has the part of its adapter added; the last layer's is that part alone."""
        found = {name: layer for name, layer in denoiser.named_modules() if name in self.config.layers}
        if found.keys() != self.config.layers.keys():
            raise ModelError(
                f"This LoRA adapts layers that the {type(denoiser).__name__} of this model does not have: use it with "
                "the model that it was trained for."
            )
        with ExitStack() as hooks:
            for name, layer in found.items():
                adapter = self.get_submodule(f"{self.config.denoiser}.{name}")
                hook = _adapted_alone if name in LAST else _adapted
                hooks.callback(layer.register_forward_hook(partial(hook, adapter)).remove)
            yield


class Adapter(nn.Module):
    """B A x for the input x of a layer: A (rank, inputs, ...) is random, B (outputs, rank, ...) begins at 0."""

    def __init__(self, numbers: list[int], rank: int) -> None:
        """numbers: of the layer."""
        super().__init__()
        inputs, outputs = numbers[:2]
        if len(numbers) == LINEAR:
            self.lora_A: nn.Module = nn.Linear(inputs, rank, bias=False)
            self.lora_B: nn.Module = nn.Linear(rank, outputs, bias=False)
        else:
            kernel, step, padding = numbers[2:]
            self.lora_A = nn.Conv2d(inputs, rank, kernel, step, padding, bias=False)
            self.lora_B = nn.Conv2d(rank, outputs, 1, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, given: Tensor) -> Tensor:
        return self.lora_B(self.lora_A(given))


def build(config: NetworkConfig, seed: int) -> NoiseLora:
    """An untrained network whose weights depend on `seed` alone; the global random state is left as it was."""
    with seeded(seed):
        return NoiseLora(config)


def _adapted(adapter: nn.Module, _: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + _adapted_alone(adapter, _, given, output)


def _adapted_alone(adapter: Any, _: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return adapter(given[0].to(adapter.lora_A.weight.dtype)).to(output.dtype)


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    """Register `module` at a dotted path below `root`, with the modules in between."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, module)
