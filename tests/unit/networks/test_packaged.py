"""Networks that come with the package: which there are, and which a model takes."""

from pathlib import Path

import pytest

from goldennoise import load_npnet
from goldennoise.config.compose import load
from goldennoise.errors import ModelError
from goldennoise.networks.sources import resolve_network
from goldennoise.store.artifacts import ArtifactStore


@pytest.mark.parametrize("reference", ["packaged/stabilityai/sdxl-turbo", "packaged/shapess"])
def test_a_packaged_network_that_does_not_exist_is_no_repository(tmp_path: Path, reference: str) -> None:
    for asked in (lambda: resolve_network(ArtifactStore(tmp_path), reference), lambda: load_npnet(reference)):
        with pytest.raises(ModelError, match=r"no network for this model comes with the package, only packaged/shapes"):
            asked()


def test_the_packaged_network_is_that_of_the_model() -> None:
    config = load(["stage=eval", "method=[standard,npnet_packaged]"])
    assert config.method["npnet_packaged"].networks() == ("packaged/shapes",)
    other = load(["stage=eval", "method=[standard,npnet_packaged]", "model=shapes_turbo"])
    assert other.method["npnet_packaged"].networks() == ("packaged/shapes_turbo",)
