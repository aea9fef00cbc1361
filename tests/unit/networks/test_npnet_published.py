"""Random tensors of the names and shapes of the published SDXL checkpoint, in the three layouts it circulates in."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from naive_npnet import golden_noise, matrix_of
from safetensors.torch import save_file
from small_npnet import make_network
from torch import Tensor

from goldennoise import GoldenNoise
from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.npnet.singular_values import SingularValueBranch
from goldennoise.networks.published import load_published, read_published

SHAPES: dict[str, Any] = json.loads(Path(__file__).with_name("published_tensors.json").read_text())
NUM_STORED = 30_470_940
NUM_HEAD, NUM_BATCH_NORM = 768 * 1000 + 1000, 4 * 256 + 1


def _random(name: str, shape: list[int], generator: torch.Generator) -> Tensor:
    values = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        return values / math.sqrt(math.prod(shape[1:]))
    return 0.1 * values + ("norm" in name and name.endswith("weight"))


@pytest.fixture(scope="module")
def nested() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        part: {name: _random(name, shape, generator) for name, shape in content.items()}
        if isinstance(content, dict)
        else _random(part, content, generator) + 0.5
        for part, content in SHAPES.items()
    }


@pytest.fixture(scope="module")
def flat(nested: dict[str, Any]) -> dict[str, Tensor]:
    parts = {part: content for part, content in nested.items() if isinstance(content, dict)}
    tensors = {f"{part}.{name}": tensor for part, content in parts.items() for name, tensor in content.items()}
    return tensors | {"alpha": nested["alpha"], "beta": nested["beta"]}


@pytest.fixture(scope="module")
def flat_file(flat: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "sdxl.safetensors"
    save_file(flat, path)
    return path


def test_the_file_is_the_network_and_what_it_never_uses(flat: dict[str, Tensor], flat_file: Path) -> None:
    assert sum(tensor.numel() for tensor in flat.values()) == NUM_STORED
    network = load_npnet(flat_file)
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    assert num_parameters == sum(tensor.numel() for tensor in network.state_dict().values())
    assert num_parameters + NUM_HEAD + NUM_BATCH_NORM == NUM_STORED
    assert network.config.latent_shape == (4, 128, 128)
    assert (network.config.num_tokens, network.config.text_dim) == (77, 2048)


@torch.no_grad()
@pytest.mark.parametrize("svd_attention", [True, False])
def test_forward_equals_the_formulas_written_naively(
    flat: dict[str, Tensor], tmp_path: Path, svd_attention: bool
) -> None:
    """The published inference code, and the network that the published SDXL trainer trains."""
    # Singular vectors are short: only large first layers tell a mean of outputs from an output of the mean.
    large = {name: 16 * tensor if ".mlp1." in name or ".mlp2." in name else tensor for name, tensor in flat.items()}
    save_file(large, tmp_path / "sdxl.safetensors")
    network = load_npnet(tmp_path / "sdxl.safetensors", svd_attention=svd_attention)
    assert not network.config.architecture.canonical_signs
    generator = torch.Generator().manual_seed(1)
    noise, text = torch.randn(1, 4, 128, 128, generator=generator), torch.randn(1, 77, 2048, generator=generator)
    ours = network(noise, text)[0].numpy()
    swin: Any = timm.create_model("swin_tiny_patch4_window7_224", pretrained=False).eval()
    prefix = "unet_embedding.swin."
    swin.load_state_dict({name.removeprefix(prefix): flat[name] for name in flat if name.startswith(prefix)})
    kept = {name: tensor for name, tensor in large.items() if svd_attention or ".attention." not in name}
    arrays = {name: tensor.double().numpy() for name, tensor in kept.items()}
    arrays |= {"num_heads": np.array(8), "image_size": np.array(224)}
    # The signs are the library's: both sides have to start from the same decomposition.
    matrix = torch.from_numpy(matrix_of(noise[0].numpy(), (2, 2)))
    u, s, vh = (factor.double().numpy() for factor in torch.linalg.svd(matrix[None]))

    def features(image: Tensor) -> Tensor:
        return swin.forward_features(image.float()).double()

    given = arrays, features, noise[0].double().numpy(), text[0].double().numpy(), (u[0], s[0], vh[0]), (2, 2)
    np.testing.assert_allclose(ours, golden_noise(*given, "before" if svd_attention else "after"), atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_without_attention_the_mean_over_vectors_comes_last(flat: dict[str, Tensor], tmp_path: Path) -> None:
    large = {name: 16 * tensor if ".mlp1." in name or ".mlp2." in name else tensor for name, tensor in flat.items()}
    save_file(large, tmp_path / "sdxl.safetensors")
    network = load_published(tmp_path / "sdxl.safetensors", svd_attention=False)
    before = SingularValueBranch(replace(network.config, vector_mean="before"))
    before.load_state_dict(network.singular_values.state_dict())
    noise = torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(1))
    factors = network.frozen_inputs(noise)
    change = network.singular_values(factors) - noise
    assert (before(factors) - noise - change).norm() / change.norm() > 0.01


def test_attention_can_be_left_out(flat_file: Path, tmp_path: Path) -> None:
    network = load_published(flat_file, svd_attention=False)
    assert not network.config.architecture.svd_attention
    assert not any("attention" in name for name in network.state_dict() if name.startswith("singular_values"))
    save_npnet(network, tmp_path, {})
    for found in (
        load_npnet(flat_file, svd_attention=False),
        GoldenNoise.from_pretrained(flat_file, svd_attention=False).network,
        load_npnet(tmp_path),
    ):
        assert found.config == network.config


def test_attention_is_no_choice_of_who_loads_a_folder_of_ours(tmp_path: Path) -> None:
    save_npnet(make_network(), tmp_path, {})
    with pytest.raises(ConfigError, match=r"svd_attention=False: svd_attention must be true for .* no published"):
        load_npnet(tmp_path, svd_attention=False)


def test_the_three_layouts_are_one(nested: dict[str, Any], flat: dict[str, Tensor], tmp_path: Path) -> None:
    few = {name: flat[name] for name in flat if flat[name].numel() < 100_000}
    torch.save(
        {
            part: {name: tensor for name, tensor in content.items() if tensor.numel() < 100_000}
            if isinstance(content, dict)
            else content
            for part, content in nested.items()
        },
        tmp_path / "nested.pth",
    )
    save_file(few, tmp_path / "second.safetensors")
    renamed = {name.replace("embeeding.", "text_embedding."): tensor for name, tensor in few.items()}
    assert renamed.keys() != few.keys()
    save_file(renamed, tmp_path / "third.safetensors")
    for name in ("nested.pth", "second.safetensors", "third.safetensors"):
        read = read_published(tmp_path / name)
        assert read.keys() == few.keys()
        assert all(torch.equal(read[key].reshape(few[key].shape), few[key]) for key in few)


def test_the_nested_file_loads_and_gives_its_text_width(nested: dict[str, Any], tmp_path: Path) -> None:
    linear = nested["embeeding"] | {"linear.weight": torch.zeros(8, 77 * 1024)}
    torch.save(nested | {"embeeding": linear}, tmp_path / "hunyuan.pth")
    network = load_npnet(tmp_path / "hunyuan.pth")
    assert torch.equal(network.residual.to_latent.weight, nested["unet_embedding"]["upconv.weight"])
    assert torch.equal(network.alpha, nested["alpha"][0])
    assert network.config.text_dim == 1024


def _load(monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Tensor]) -> None:
    monkeypatch.setattr("goldennoise.networks.published.read_tensors", lambda *_: tensors)
    load_published("sdxl.safetensors")


def test_missing_unknown_and_misshapen_tensors_are_refused_by_name(
    flat: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = flat | {
        "unet_svd.bn.extra": torch.zeros(2),
        "unet_svd.mlp9.weight": torch.zeros(2),
        "unet_embedding.downconv.weight": torch.zeros(3, 16, 1, 1),
        "beta": torch.zeros(2),
    }
    del tensors["unet_svd.mlp3.0.bias"]
    with pytest.raises(ModelError) as error:
        _load(monkeypatch, tensors)
    assert str(error.value) == (
        "sdxl.safetensors does not hold the tensors of its NPNet: it is without unet_svd.mlp3.0.bias; "
        "with unexpected unet_svd.bn.extra, unet_svd.mlp9.weight; "
        "with other shapes, beta (2,) instead of (), "
        "unet_embedding.downconv.weight (3, 16, 1, 1) instead of (3, 4, 1, 1)."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unet_svd.mlp1.0.weight": torch.zeros(3)}, "no published NPNet: it lacks the matrix unet_svd.mlp1.0.weight"),
        ({"embeeding.linear.weight": torch.zeros(8, 100)}, "100 numbers of text, which are not 77 tokens"),
    ],
)
def test_sizes_that_make_no_network_are_refused(
    flat: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, change: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        _load(monkeypatch, flat | change)


class _Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_a_file_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    torch.save({"alpha": _Malicious(tmp_path / "executed")}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="holds more than tensors, which could run code"):
        load_npnet(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds no tensors by name"),
        ({"unet_svd": {"bn": 3}}, "unet_svd.bn, which is no tensor"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=message):
        load_npnet(tmp_path / "other.pth")


@pytest.mark.parametrize("keep_bytes", [0, 10, 700])
def test_a_truncated_file_is_refused(tmp_path: Path, keep_bytes: int) -> None:
    path = tmp_path / "cut.pth"
    torch.save({"alpha": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(ModelError, match="damaged"):
        load_npnet(path)


@pytest.mark.parametrize("name", ["sdxl.pth", "sdxl.safetensors"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=f"{name} does not exist"):
        load_published(tmp_path / name)
