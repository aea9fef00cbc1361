"""Files of NPNets that users trained with the published code, as their trainers save them."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from goldennoise.errors import ModelError
from goldennoise.networks.checkpoint import load_npnet
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.networks.published import read_published
from goldennoise.networks.publishing import published_tensors

Tensors = dict[str, Tensor]
OPTIMIZER = {"state": {0: {"step": torch.tensor(7.0), "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}


@pytest.fixture(scope="module")
def flat() -> Tensors:
    config = NPNetConfig((4, 8, 8), 77, 6, ArchitectureConfig(canonical_signs=False))
    network = seeded_npnet(config, seed=1)
    for parameter in network.parameters():
        parameter.data += 0.01
    return published_tensors(network)


@pytest.fixture(scope="module")
def few(flat: Tensors) -> Tensors:
    return {name: tensor for name, tensor in flat.items() if tensor.numel() < 2000}


def nested(flat: Tensors) -> dict[str, Any]:
    parts: defaultdict[str, Any] = defaultdict(dict)
    for name, tensor in flat.items():
        part, _, rest = name.partition(".")
        parts[part] = parts[part] | {rest: tensor} if rest else tensor
    return dict(parts)


def prefixed(prefix: str, flat: Tensors) -> Tensors:
    return {f"{prefix}{name}": tensor for name, tensor in flat.items()}


def of_lightning(flat: Tensors) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 700,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed("npnet.", flat) | {"loss.weight": torch.zeros(2)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"best": {"score": torch.tensor(0.1)}},
        "optimizer_states": [OPTIMIZER],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 1e-4},
    }


def compiled_in_parts(flat: Tensors) -> dict[str, Any]:
    return {
        part: prefixed("module._orig_mod.", content) if isinstance(content, dict) else content
        for part, content in nested(flat).items()
    }


SAVED: dict[str, Callable[[Tensors], dict[str, Any]]] = {
    "state_dict beside a training": lambda flat: {"state_dict": flat, "epoch": 3, "optimizer": OPTIMIZER},
    "model, nested": lambda flat: {"model": nested(flat), "args": ["--lr", "1e-4"], "scaler": {"scale": 2.0}},
    "Lightning": of_lightning,
    "data parallel": lambda flat: prefixed("module.", flat),
    "data parallel in an entry": lambda flat: {"module": flat, "step": 7},
    "data parallel and compiled parts": compiled_in_parts,
    "nested beside a training": lambda flat: nested(flat) | {"epoch": 3, "optimizer": OPTIMIZER, "loss": 0.1},
}


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_the_network_is_found_in_what_a_trainer_saved(
    few: Tensors, tmp_path: Path, saved: Callable[[Tensors], dict[str, Any]]
) -> None:
    torch.save(saved(few), tmp_path / "net.pth")
    found = read_published(tmp_path / "net.pth")
    assert found.keys() == few.keys()
    assert all(torch.equal(found[name].reshape(tensor.shape), tensor) for name, tensor in few.items())


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (lambda few: {"model": few, "ema": few | {"alpha": torch.zeros(1)}}, r"holds 2 networks, in ema\., model\.: "),
        (lambda few: few | {"ema": dict(few)}, r"holds 2 networks, in the file itself, ema\.: save one of them alone"),
        (lambda few: few | prefixed("module.", few), r"holds [\w.]+ twice, under different prefixes: save it once"),
        (lambda few: {"state_dict": few | {"alpha": 0.5}, "epoch": 3}, "holds alpha, which is no tensor"),
    ],
)
def test_what_is_not_one_network_is_refused_by_name(
    few: Tensors, tmp_path: Path, saved: Callable[[Tensors], dict[str, Any]], message: str
) -> None:
    torch.save(saved(few), tmp_path / "net.pth")
    with pytest.raises(ModelError, match=message):
        read_published(tmp_path / "net.pth")


def test_half_precision_and_buffers_that_follow_from_sizes_are_taken(flat: Tensors, tmp_path: Path) -> None:
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in flat.items()}
    blocks = [f"unet_embedding.swin.layers.{stage}.blocks.{block}" for stage in (0, 2) for block in (0, 1)]
    buffers = {f"{block}.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.int64) for block in blocks}
    buffers |= {f"{block}.attn_mask": torch.zeros(64, 49, 49) for block in blocks}
    save_file(half | buffers, tmp_path / "net.safetensors")
    network = load_npnet(tmp_path / "net.safetensors")
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.equal(network.residual.to_rgb.weight, half["unet_embedding.downconv.weight"].float())
    assert all(buffer.any() for name, buffer in network.named_buffers() if name.endswith("relative_position_index"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unet_svd.mlp3.0.bias": torch.full((16,), torch.nan)}, "values that are not finite in unet_svd.mlp3.0.bias"),
        ({"alpha": torch.tensor([torch.inf]), "beta": torch.tensor([1e300], dtype=torch.float64)}, "in alpha, beta"),
        ({"alpha": torch.ones(1, dtype=torch.int8)}, "of another kind, alpha torch.int8 instead of torch.float32"),
        ({"muon.momentum": torch.zeros(3)}, "with unexpected muon.momentum"),
    ],
)
def test_weights_that_are_no_numbers_of_the_network_are_refused_by_name(
    flat: Tensors, tmp_path: Path, changes: Tensors, message: str
) -> None:
    save_file(flat | changes, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=rf"does not hold the tensors of its NPNet: it is .*{message}\."):
        load_npnet(tmp_path / "net.safetensors")
