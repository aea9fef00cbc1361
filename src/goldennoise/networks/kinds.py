"""The networks that predict golden noise, whatever their architecture."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from goldennoise.errors import ModelError, shortened
from goldennoise.networks.config import LayoutNPNetConfig, NPNetConfig
from goldennoise.networks.layouts.network import LayoutNPNet, seeded_layout_npnet
from goldennoise.networks.npnet.network import NPNet, seeded_npnet
from goldennoise.store.tensors import mismatch

GoldenNetwork: TypeAlias = NPNet | LayoutNPNet
"""Predicts golden noise (B, C, h, w) from source noise and prompt embeddings (B, tokens, dim) in one pass."""


def seeded_network(config: NPNetConfig | LayoutNPNetConfig, seed: int) -> GoldenNetwork:
    """An untrained network whose weights depend on `seed` alone."""
    return seeded_layout_npnet(config, seed) if isinstance(config, LayoutNPNetConfig) else seeded_npnet(config, seed)


def blank_network(config: NPNetConfig | LayoutNPNetConfig) -> GoldenNetwork:
    """A network to load weights into: ImageNet's are not fetched to be overwritten."""
    if isinstance(config, NPNetConfig):
        config = replace(config, architecture=replace(config.architecture, pretrained_backbone=False))
    return seeded_network(config, seed=0)


def filled_network(
    config: NPNetConfig | LayoutNPNetConfig,
    tensors: Mapping[str, Tensor],
    source: Path,
    name_in_file: Callable[[str], str] = str,
) -> GoldenNetwork:
    """A network in evaluation mode on the CPU, in fp32, of the weights `tensors`, read from the file `source`.

    name_in_file: what the file calls a tensor of the network. Raises `ModelError` unless the file holds exactly the
    network's tensors, before memory is taken for it.
    """
    try:
        # Sizes that the file does not have could ask for all memory.
        with torch.device("meta"):
            described = blank_network(config).state_dict()
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{source} is of a network of impossible sizes ({shortened(error, 200)}).") from error
    if problems := mismatch({name_in_file(name): tensor for name, tensor in described.items()}, tensors):
        raise ModelError(f"{source} does not hold the tensors of its NPNet: it is {problems}.")
    network = blank_network(config)
    network.load_state_dict({name: tensors[name_in_file(name)] for name in described})
    return network.eval()
