"""The time prediction module against its description, its files, and its policy against scipy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import stats
from torch import Tensor

from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.time_predictor import TimePredictorConfig
from goldennoise.networks.time_predictor.checkpoint import load_time_predictor, save_time_predictor
from goldennoise.networks.time_predictor.network import TimePredictor, as_published, new_predictor
from goldennoise.networks.time_predictor.policy import EDGE, BetaPolicy

NAMES = {
    "conv1.weight": lambda d: (128, 2 * d, 3, 3),
    "conv1.bias": lambda _: (128,),
    "norm1.linear.weight": lambda d: (256, d),
    "norm1.linear.bias": lambda _: (256,),
    "norm1.norm.weight": lambda _: (128,),
    "norm1.norm.bias": lambda _: (128,),
    "conv2.weight": lambda _: (128, 128, 3, 3),
    "conv2.bias": lambda _: (128,),
    "fc1.weight": lambda _: (128, 128),
    "fc1.bias": lambda _: (128,),
    "fc2.weight": lambda _: (2, 128),
    "fc2.bias": lambda _: (2,),
}


def scrambled(width: int) -> TimePredictor:
    """A predictor of random weights, none of them at its initial value."""
    network = new_predictor(TimePredictorConfig(width), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return network.eval()


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """A 3 x 3 convolution of maps (C, H, W) with a border of zeros."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    height, width = ((side - 1) // stride + 1 for side in x.shape[1:])
    found = np.zeros((len(weight), height, width))
    for row in range(3):
        for column in range(3):
            part = padded[:, row : row + stride * height : stride, column : column + stride * width : stride]
            found += np.einsum("oc,chw->ohw", weight[:, :, row, column], part[:, :height, :width])
    return found + bias[:, None, None]


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def expected(network: TimePredictor, features: Tensor, time: Tensor) -> tuple[float, float]:
    """alpha and beta of one row, layer by layer in numpy, float64."""
    w = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    maps = convolved(features.double().numpy(), w["conv1.weight"], w["conv1.bias"], 1)
    shift, scale = np.split(w["norm1.linear.weight"] @ silu(time.double().numpy()) + w["norm1.linear.bias"], 2)
    normal = (maps - maps.mean()) / np.sqrt(maps.var() + 1e-6)
    normal = normal * w["norm1.norm.weight"][:, None, None] + w["norm1.norm.bias"][:, None, None]
    maps = silu(normal * (1 + scale)[:, None, None] + shift[:, None, None])
    maps = convolved(maps, w["conv2.weight"], w["conv2.bias"], 2)
    side = maps.shape[1]
    if side > 16:
        step = side // 16
        maps = maps.reshape(128, 16, step, 16, step).mean(axis=(2, 4))
    hidden = silu(w["fc1.weight"] @ maps.max(axis=(1, 2)) + w["fc1.bias"])
    a, b = w["fc2.weight"] @ hidden + w["fc2.bias"]
    return 1 + np.exp(a), 1 + np.exp(b)


@pytest.mark.parametrize(("width", "side"), [(48, 16), (320, 64), pytest.param(1536, 64, marks=pytest.mark.slow)])
@torch.no_grad()
def test_it_computes_what_is_published(width: int, side: int) -> None:
    network, generator = scrambled(width), torch.Generator().manual_seed(2)
    features = torch.randn(2, 2 * width, side, side, generator=generator)
    time = torch.randn(2, width, generator=generator)
    alpha, beta = network(features, time)
    for row in range(2):
        pair = expected(network, features[row], time[row])
        assert (alpha[row].item(), beta[row].item()) == pytest.approx(pair, rel=1e-5)


@pytest.mark.parametrize(("width", "num"), [(1536, 4_097_154), (320, 984_194), (48, 287_874)])
def test_it_has_the_published_tensors(width: int, num: int) -> None:
    tensors = new_predictor(TimePredictorConfig(width), seed=0).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        name: shape(width) for name, shape in NAMES.items()
    }
    assert sum(tensor.numel() for tensor in tensors.values()) == num


def test_it_begins_as_published() -> None:
    network = new_predictor(TimePredictorConfig(320), seed=0)
    for name, weight in network.named_parameters():
        if name.endswith("weight") and name != "norm1.norm.weight":
            assert weight.std().item() == pytest.approx(0.02, rel=0.2)
        elif name in ("conv1.bias", "conv2.bias", "fc1.bias"):
            assert not weight.any()
    assert network.fc2.bias.tolist() == [2.5, 1.0]
    assert network.norm1.linear.bias.any()
    torch.testing.assert_close(new_predictor(TimePredictorConfig(320), seed=0).conv1.weight, network.conv1.weight)
    assert not torch.equal(new_predictor(TimePredictorConfig(320), seed=1).conv1.weight, network.conv1.weight)


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match=r"reads features \(B, 96, H, W\) and time embeddings \(B, 48\), not \(1, 64"):
        new_predictor(TimePredictorConfig(48), seed=0)(torch.zeros(1, 64, 16, 16), torch.zeros(1, 32))


def test_the_published_layout_takes_the_raster_order_for_blocks() -> None:
    tokens = torch.arange(4096.0).view(1, 1, 64, 64)
    found = as_published(tokens)[0, 0]
    assert found[:3, :6].tolist() == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11], [128, 129, 132, 133, 136, 137]]
    assert sorted(found.flatten().tolist()) == list(range(4096))
    with pytest.raises(ModelError, match=r"even height and width, not 3 x 4"):
        as_published(torch.zeros(1, 1, 3, 4))


@pytest.mark.parametrize("prefix", ["", "agent_model.time_predictor.", "time_predictor."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_published_file_is_read_whatever_stands_before_its_names(tmp_path: Path, prefix: str, suffix: str) -> None:
    network, file = scrambled(48), tmp_path / f"file{suffix}"
    tensors = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    save_file(tensors, file) if suffix == ".safetensors" else torch.save(tensors, file)
    read = load_time_predictor(file, layout="published")
    assert read.config == TimePredictorConfig(48, layout="published")
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert not read.training


def test_a_folder_is_what_was_saved(tmp_path: Path) -> None:
    network = scrambled(48)
    save_time_predictor(network, tmp_path, {"from": "here"})
    read = load_time_predictor(tmp_path)
    assert read.config == network.config
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in network.state_dict().items())


def test_a_file_with_other_tensors_is_refused(tmp_path: Path) -> None:
    tensors = scrambled(48).state_dict()
    for wrong, message in [
        ({name: tensor for name, tensor in tensors.items() if name != "fc2.bias"}, r"without fc2\.bias"),
        (tensors | {"more": torch.zeros(1)}, "with unexpected more"),
        ({f"model.{name}": tensor for name, tensor in tensors.items()}, r"no time predictor: it has no tensor conv1"),
    ]:
        save_file(wrong, tmp_path / "wrong.safetensors")
        with pytest.raises(ModelError, match=message):
            load_time_predictor(tmp_path / "wrong.safetensors")
    with pytest.raises(ModelError, match="does not exist"):
        load_time_predictor(tmp_path / "none.safetensors")
    save_file(tensors, tmp_path / "right.safetensors")
    with pytest.raises(ConfigError, match="layout must be raster or published"):
        load_time_predictor(tmp_path / "right.safetensors", layout="columns")


def test_the_mode_is_the_sigmoid_of_the_difference() -> None:
    a, b = torch.randn(100, generator=torch.Generator().manual_seed(0)), torch.linspace(-2, 2, 100)
    policy = BetaPolicy(1 + a.exp(), 1 + b.exp())
    torch.testing.assert_close(policy.mode, (a - b).sigmoid().clamp(EDGE, 1 - EDGE), rtol=1e-5, atol=1e-6)


def test_the_policy_is_scipys_beta() -> None:
    alpha, beta = torch.tensor([1.5, 13.2, 4.0]), torch.tensor([2.5, 3.7, 1.1])
    policy, other = BetaPolicy(alpha, beta), BetaPolicy(beta, alpha)
    ratio = torch.tensor([0.2, 0.8, 0.999])
    exact = stats.beta(alpha.double().numpy(), beta.double().numpy())
    np.testing.assert_allclose(policy.log_prob(ratio), exact.logpdf(ratio.double().numpy()), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(policy.entropy, exact.entropy(), rtol=1e-4, atol=1e-5)
    grid = np.linspace(1e-6, 1 - 1e-6, 200_001)[:, None]
    density = exact.pdf(grid)
    swapped = stats.beta(beta.double().numpy(), alpha.double().numpy())
    divergence = np.trapezoid(density * (exact.logpdf(grid) - swapped.logpdf(grid)), grid, axis=0)
    np.testing.assert_allclose(policy.divergence(other), divergence, rtol=1e-3)


def test_draws_are_of_the_policy_and_each_of_its_own_seed() -> None:
    num = 20_000
    policy = BetaPolicy(torch.full((num,), 13.2), torch.full((num,), 3.7))
    drawn = policy.draw(range(num))
    assert stats.kstest(drawn.double().numpy(), stats.beta(13.2, 3.7).cdf).pvalue > 1e-3
    assert torch.equal(BetaPolicy(policy.alpha[:3], policy.beta[:3]).draw([5, 1, 5]), drawn[[5, 1, 5]])


def test_draws_keep_off_the_ends() -> None:
    policy = BetaPolicy(torch.tensor([1.0001, 1e6]), torch.tensor([1e6, 1.0001]))
    assert policy.draw([0, 1]).tolist() == pytest.approx([EDGE, 1 - EDGE])
    assert policy.log_prob(policy.draw([0, 1])).isfinite().all()
