import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from small_npnet import SMALL, make_inputs, make_network
from torch import nn

from goldennoise.errors import ModelError
from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.npnet.network import build as seeded_npnet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_npnet(make_network(), tmp_path / "v1", {"model": "tiny"})
    return tmp_path / "v1"


@pytest.mark.parametrize("given", ["", "model.safetensors"])
@pytest.mark.parametrize("attention", [True, False])
def test_round_trip_is_bit_exact(tmp_path: Path, given: str, attention: bool) -> None:
    network = make_network((4, 8, 6), replace(SMALL, svd_attention=attention, canonical_signs=attention))
    save_npnet(network.train(), tmp_path, {})
    loaded = load_npnet(str(tmp_path / given))
    assert not loaded.training
    assert loaded.config == network.config
    noise, text = make_inputs((4, 8, 6))
    assert torch.equal(loaded(noise, text), network.eval()(noise, text))
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in network.state_dict().items())


def test_a_configuration_of_an_earlier_release_is_of_the_network_that_it_was(folder: Path) -> None:
    _edit(lambda content: content["network"].pop("vector_mean"))(folder)
    assert load_npnet(folder).config == make_network().config


def test_the_folder_holds_two_files_of_plain_data(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["record"] == {"model": "tiny"}


def test_weights_are_stored_in_fp32(tmp_path: Path) -> None:
    save_npnet(make_network().bfloat16(), tmp_path, {})
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float32}


def test_loading_leaves_the_global_random_state(folder: Path) -> None:
    before = torch.get_rng_state()
    load_npnet(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_loading_fetches_no_imagenet_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def create_model(_: str, pretrained: bool, **__: Any) -> nn.Module:
        asked.append(pretrained)
        return nn.Identity()

    monkeypatch.setattr(timm, "create_model", create_model)
    config = NPNetConfig((4, 8, 8), 5, 6, ArchitectureConfig(pretrained_backbone=True))
    save_npnet(seeded_npnet(config, seed=0), tmp_path, {})
    load_npnet(tmp_path)
    assert asked[0]
    assert not any(asked[1:])


def _edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        change(content)
        (folder / "config.json").write_text(json.dumps(content))

    return damage


def _tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors does not exist"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "holds no config.json .*, but model.safetensors"),
    "truncated": (_truncate, "model.safetensors is truncated or damaged"),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "is truncated or damaged"),
    "tensor missing": (_tensors(lambda tensors: tensors.pop("alpha")), "it is without alpha"),
    "tensors missing": (
        _tensors(lambda tensors: [tensors.pop(name) for name in list(tensors) if "right" in name or "change" in name]),
        "without singular_values.change.0.bias, .* and 5 more",
    ),
    "tensor too many": (
        _tensors(lambda tensors: tensors.update(gamma=torch.zeros(1))),
        "with unexpected gamma",
    ),
    "other shape": (
        _tensors(lambda tensors: tensors.update(beta=torch.zeros(2))),
        r"with other shapes, beta \(2,\) instead of \(\)",
    ),
    "not finite": (
        _tensors(lambda tensors: tensors["singular_values.values.bias"].fill_(torch.nan)),
        "it is with values that are not finite in singular_values.values.bias",
    ),
    "whole numbers": (
        _tensors(lambda tensors: tensors.update(alpha=torch.tensor(1))),
        "with numbers of another kind, alpha torch.int64 instead of torch.float32",
    ),
    "nested beyond reading": (
        lambda folder: (folder / "config.json").write_text("[" * 10**5),
        "config.json is no JSON",
    ),
    "bytes": (lambda folder: (folder / "config.json").write_bytes(bytes(range(256))), "config.json is no JSON"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "config.json is no JSON"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "not the configuration of an NPNet"),
    "other format": (_edit(lambda content: content.update(format="swin")), "not the configuration of an NPNet"),
    "no network": (_edit(lambda content: content.pop("network")), r"missing or unknown fields \(all\)"),
    "unknown field": (
        _edit(lambda content: content["network"]["architecture"].update(dephts=[2])),
        r"missing or unknown fields \(dephts\)",
    ),
    "missing field": (
        _edit(lambda content: content["network"].pop("text_dim")),
        r"missing or unknown fields \(text_dim\)",
    ),
    "wrong type": (
        _edit(lambda content: content["network"]["architecture"].update(embed_dim="24")),
        "embed_dim='24', which is of the wrong type",
    ),
    "wrong element": (
        _edit(lambda content: content["network"].update(latent_shape=[4, 8, 8.5])),
        "latent_shape=.* wrong type",
    ),
    "out of range": (
        _edit(lambda content: content["network"]["architecture"].update(window=0)),
        "describes no NPNet: window=0",
    ),
    "other sizes": (_edit(lambda content: content["network"].update(text_dim=7)), "other shapes, text_embedding"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_folder_is_refused(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=message):
        load_npnet(folder)


def test_a_path_that_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="v9 does not exist"):
        load_npnet(tmp_path / "v9")
    (tmp_path / "last.ckpt").write_bytes(b"0")
    with pytest.raises(
        ModelError, match=r"last.ckpt is no NPNet: give a folder .* rename what torch or Lightning saved"
    ):
        load_npnet(tmp_path / "last.ckpt")


def test_an_interrupted_write_leaves_the_old_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("goldennoise.networks.checkpoint.save_file", disk_full)
    with pytest.raises(OSError, match="no space left"):
        save_npnet(make_network(), folder, {})
    assert isinstance(load_npnet(folder), NPNet)
