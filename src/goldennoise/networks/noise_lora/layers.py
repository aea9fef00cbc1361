"""The layers of a denoiser that a LoRA can adapt."""

from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import nn


def layers_of(model: Any) -> dict[str, list[int]]:
    """Name -> numbers, as `NetworkConfig` has them, of the layers that a pass of the denoiser runs through."""
    found: dict[str, list[int]] = {}

    def seen(name: str, layer: Any, *_: Any) -> None:
        found[name] = _numbers(layer)

    with ExitStack() as hooks:
        for name, layer in model.network.named_modules():
            if _can_adapt(layer):
                hooks.callback(layer.register_forward_hook(partial(seen, name)).remove)
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            noise = torch.zeros(1, *model.latent_shape, device=model.device, dtype=model.dtype)
            model.first_output(noise, model.encode([""]), model.num_steps)
    return found


def _can_adapt(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Linear):
        return True
    if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str):
        return False
    sides = (layer.kernel_size, layer.stride, layer.padding)
    return layer.groups == 1 and set(layer.dilation) == {1} and all(len(set(side)) == 1 for side in sides)


def _numbers(layer: Any) -> list[int]:
    if isinstance(layer, nn.Linear):
        return [layer.in_features, layer.out_features]
    sides = (layer.kernel_size[0], layer.stride[0], layer.padding[0])
    return [layer.in_channels, layer.out_channels, *sides]
