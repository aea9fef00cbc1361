"""Networks that come with the package: which there are, and which a model takes."""

from pathlib import Path

import pytest

from goldennoise import load_npnet
from goldennoise.config.compose import load
from goldennoise.errors import ArtifactError, ConfigError, ModelError
from goldennoise.networks.sources import resolve_network
from goldennoise.stages.networks import refuse_other_model
from goldennoise.store.artifacts import ArtifactStore


@pytest.mark.parametrize("reference", ["packaged/stabilityai/sdxl-turbo", "packaged/shapess"])
def test_a_packaged_network_that_does_not_exist_is_no_repository(tmp_path: Path, reference: str) -> None:
    for asked in (lambda: resolve_network(ArtifactStore(tmp_path), reference), lambda: load_npnet(reference)):
        with pytest.raises(ModelError, match=r"no network for this model comes with the package, only packaged/shapes"):
            asked()


@pytest.mark.parametrize("overrides", [["model.path=shapess"], ["method.npnet_packaged.artifact=packaged/shapess"]])
def test_a_packaged_network_that_does_not_exist_is_refused_before_anything_runs(overrides: list[str]) -> None:
    message = r"method\.npnet_packaged\.artifact=packaged/shapess: .* packaged/shapes, .*did you mean packaged/shapes\?"
    with pytest.raises(ConfigError, match=message):
        load(["stage=eval", "method=[standard,npnet_packaged]", *overrides])


def test_the_packaged_network_is_that_of_the_model() -> None:
    config = load(["stage=eval", "method=[standard,npnet_packaged]"])
    assert config.method["npnet_packaged"].networks() == ("packaged/shapes",)
    other = load(["stage=eval", "method=[standard,npnet_packaged]", "model=shapes_turbo"])
    assert other.method["npnet_packaged"].networks() == ("packaged/shapes_turbo",)


@pytest.mark.parametrize("model", ["shapes", "shapes_turbo"])
def test_a_packaged_network_is_recorded_as_that_of_its_model_alone(tmp_path: Path, model: str) -> None:
    network = resolve_network(ArtifactStore(tmp_path), f"packaged/{model}")
    refuse_other_model(network, load([f"model={model}"]).model)
    for other in {"shapes", "shapes_turbo"} - {model}:
        with pytest.raises(ArtifactError, match=f"model.path={other}, not {model}"):
            refuse_other_model(network, load([f"model={other}"]).model)
