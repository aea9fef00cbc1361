"""The networks that predict golden noise, whatever their architecture."""

from dataclasses import replace
from typing import TypeAlias

from goldennoise.npnet.config import LayoutNPNetConfig, NPNetConfig
from goldennoise.npnet.layouts import LayoutNPNet, seeded_layout_npnet
from goldennoise.npnet.network import NPNet, seeded_npnet

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
