"""A kind of network that an installed package adds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from installed import install

from goldennoise import networks
from goldennoise.config.compose import load
from goldennoise.config.files import outside_folders
from goldennoise.networks.network import seeded_network
from goldennoise.runtime import registry

ENTRY_POINTS = """
[goldennoise.networks]
scale = a_noise.scale
[goldennoise.conf]
a_noise = a_noise.conf
"""
CONFIG = """
from dataclasses import dataclass, field

from goldennoise.networks.base import Architecture, NetworkInputs


@dataclass(frozen=True)
class Config(Architecture):
    kind: str = "scale"
    factor: float = 2.0


@dataclass(frozen=True)
class NetworkConfig(NetworkInputs):
    architecture: Config = field(default_factory=Config)
"""
NETWORK = """
from goldennoise.networks.network import GoldenNetwork


class Scale(GoldenNetwork):
    def forward(self, noise, prompt_embeds):
        return self.config.architecture.factor * noise


def build(config, seed):
    return Scale(config)
"""
FILES = {
    "__init__.py": "",
    "scale/__init__.py": CONFIG,
    "scale/network.py": NETWORK,
    "conf/npnet/scale.yaml": "kind: scale\nfactor: 3.0\n",
}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    registry.installed.cache_clear()
    outside_folders.cache_clear()


def test_it_is_chosen_and_built_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "a-noise", ENTRY_POINTS, FILES)
    assert "scale" in networks.kinds()
    architecture = load(["stage=train", "npnet=scale"]).npnet
    network = seeded_network(networks.network_config(architecture, (4, 2, 2), 3, 5), seed=0)
    noise = torch.randn(2, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(noise, torch.zeros(2, 3, 5)), 3.0 * noise)
