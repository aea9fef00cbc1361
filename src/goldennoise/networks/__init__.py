"""Networks on top of a frozen model, and their files.

A kind of network is a package here of two modules. The package itself imports no torch; it has a `Config`, an
`Architecture`, and a `NetworkConfig`, the `NetworkInputs` of this architecture. `network` has `build(config, seed)`,
which gives a `GoldenNetwork` for a `NetworkConfig`.
"""

from types import ModuleType
from typing import Any

from goldennoise.networks.base import NetworkInputs
from goldennoise.runtime import registry

PARTS = (
    "base",
    "checkpoint",
    "importing",
    "model_card",
    "network",
    "published",
    "publishing",
    "sources",
    "time_predictor",
)
"""Modules that networks share, and what predicts no noise; every other is a kind of network."""


def kinds() -> list[str]:
    """Names of the kinds of network."""
    return registry.kinds(__name__, parts=PARTS)


def component(kind: str) -> ModuleType:
    """The package of a kind of network. Raises `ConfigError` for one that does not exist."""
    return registry.component(__name__, "kind of network", kind, kinds())


def network_config(architecture: Any, latent_shape: tuple[int, int, int], *text_shape: int) -> NetworkInputs:
    """The network of an architecture for latents (C, h, w) and text (tokens, dim). Raises `ModelError` on a misfit."""
    config: NetworkInputs = component(architecture.kind).NetworkConfig(latent_shape, *text_shape, architecture)
    return config
