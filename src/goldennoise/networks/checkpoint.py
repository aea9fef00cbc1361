"""NPNet on disk or on the hub: a folder of `model.safetensors` and `config.json`. Loading never executes code."""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from goldennoise import networks
from goldennoise.errors import ConfigError, ModelError, require, shortened
from goldennoise.networks.base import NetworkInputs
from goldennoise.networks.network import GoldenNetwork, filled_network
from goldennoise.networks.published import load_published
from goldennoise.networks.sources import CONFIG, FORMAT, WEIGHTS, find_npnet, read_content
from goldennoise.store.files import whole, write_json
from goldennoise.store.tensors import read_tensors

_LATER_FIELDS = frozenset({"vector_mean", "branches"})
"""Configurations of earlier releases lack them; their networks are what the default says."""


def save_npnet(network: GoldenNetwork, folder: Path, record: Mapping[str, Any]) -> None:
    """Write the weights (fp32) and the configuration into `folder`, each file whole or not at all.

    record: JSON values on where the network comes from; kept in `config.json` for people, no part of the network.
    """
    tensors = {name: tensor.detach().cpu().float().contiguous() for name, tensor in network.state_dict().items()}
    with whole(folder / WEIGHTS) as beside:
        save_file(tensors, beside)
    write_json(folder / CONFIG, {"format": FORMAT, "network": asdict(network.config), "record": dict(record)})


def load_npnet(path: str | Path, revision: str | None = None, svd_attention: bool = True) -> GoldenNetwork:
    """An NPNet in evaluation mode on the CPU, in fp32.

    path: a folder written by `save_npnet` (an npnet artifact), its `model.safetensors`, a published checkpoint file
    (see `goldennoise.networks.published`), "packaged/shapes", or a hub id "owner/name" of such a folder, with
    `revision`.
    svd_attention: of a published file; False runs the network that the published SDXL trainer trains, which has no
        attention and takes the mean over the singular vectors last (see `load_published`).
    Raises `ModelError` when it is missing, damaged or of another network, `ConfigError` for a folder without
    svd_attention: its configuration says what it has.
    """
    path = find_npnet(path, revision)
    if not path.is_dir():
        return load_published(path, svd_attention)
    require(svd_attention, "svd_attention", svd_attention, f"true for {path}, which is no published file")
    return _load_folder(path)


def _load_folder(folder: Path) -> GoldenNetwork:
    content = read_content(folder / CONFIG).get("network")
    tensors = read_tensors(folder / WEIGHTS, ModelError)
    return filled_network(_config(content, tensors, folder / CONFIG), tensors, folder / WEIGHTS)


def _config(content: Any, tensors: Mapping[str, Tensor], path: Path) -> NetworkInputs:
    """The network that `content`, read from `path`, describes, if `tensors` are enough for it."""
    parts = content.get("architecture") if isinstance(content, dict) else None
    kind = parts.get("kind") if isinstance(parts, dict) else None
    # What names no kind of ours is held against the published one, whose error then says what is wrong.
    known = kind if kind in networks.kinds() else "npnet"
    example: NetworkInputs = networks.component(known).NetworkConfig((8, 8, 8), 1, 1)
    network = _typed(content, example, path)
    architecture = _typed(network["architecture"], example.architecture, path)
    _refuse_oversize(network | architecture, tensors, path)
    try:
        return type(example)(**(network | {"architecture": type(example.architecture)(**architecture)}))
    except (ConfigError, ModelError) as error:
        raise ModelError(f"{path} describes no NPNet: {error}") from error


def _typed(values: Any, example: Any, path: Path) -> dict[str, Any]:
    """`values`, if it has the fields of the dataclass instance `example` and no others, in their JSON types."""
    names = {entry.name for entry in fields(example)}
    if not isinstance(values, dict):
        raise ModelError(f"{path} has missing or unknown fields (all): copy or train the network again.")
    if wrong := (names - values.keys() - _LATER_FIELDS) | (values.keys() - names):
        raise ModelError(
            f"{path} has missing or unknown fields ({', '.join(map(shortened, sorted(wrong)[:5]))}): copy or train the "
            "network again."
        )
    for name, value in values.items():
        expected = json.loads(json.dumps(getattr(example, name), default=asdict))
        same_type = type(value) is type(expected) or (type(value) is int and type(expected) is float)
        if not same_type or (isinstance(value, list) and any(type(number) is not int for number in value)):
            raise ModelError(
                f"{path} has {name}={reprlib.repr(value)}, which is of the wrong type; a valid one is {expected!r}."
            )
    return values


def _refuse_oversize(values: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise `ModelError` for sizes that are more than the tensors have, before time or memory is spent on them."""
    num_numbers = sum(tensor.numel() for tensor in tensors.values())
    for name, value in values.items():
        sizes = [size for size in (value if isinstance(value, list) else [value]) if type(size) is int]
        if sizes and max(sizes) > num_numbers:
            raise ModelError(
                f"{path} has {name}={reprlib.repr(value)}, and {WEIGHTS} beside it holds {num_numbers} numbers in all: "
                "copy or train the network again."
            )
    depth = sum(values.get("depths", [values.get("depth", 0)]))
    depth += values.get("layers_per_block", 0) * len(values.get("block_out_channels", []))
    if depth > len(tensors):
        raise ModelError(
            f"{path} describes {depth} layers, and {WEIGHTS} beside it holds {len(tensors)} tensors in all: copy or "
            "train the network again."
        )
