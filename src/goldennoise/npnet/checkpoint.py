"""NPNet on disk or on the hub: a folder of `model.safetensors` and `config.json`. Loading never executes code."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from goldennoise.errors import ConfigError, ModelError, require
from goldennoise.hub import HUB_ID, find_file, hub_files
from goldennoise.npnet.config import ARCHITECTURES, LayoutNPNetConfig, NPNetConfig, network_config
from goldennoise.npnet.networks import GoldenNetwork, blank_network
from goldennoise.npnet.published import SUFFIXES, load_published
from goldennoise.npnet.tensors import check_tensors, read_safetensors

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = "goldennoise-npnet-1"
_LATER_FIELDS = frozenset({"vector_mean"})
"""Configurations of earlier releases lack them; their networks are what the default says."""
PACKAGED = {"packaged/shapes": Path(__file__).parent / "packaged" / "shapes"}
"""Networks that come with the package, called as a hub repository would be."""


def save_npnet(network: GoldenNetwork, folder: Path, record: Mapping[str, Any]) -> None:
    """Write the weights (fp32) and the configuration into `folder`, each file whole or not at all.

    record: JSON values on where the network comes from; kept in `config.json` for people, no part of the network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().float().contiguous() for name, tensor in network.state_dict().items()}
    config = json.dumps({"format": FORMAT, "network": asdict(network.config), "record": dict(record)}, indent=2)
    unfinished = folder / f"{WEIGHTS}.partial"
    save_file(tensors, unfinished)
    unfinished.replace(folder / WEIGHTS)
    unfinished = folder / f"{CONFIG}.partial"
    unfinished.write_text(config + "\n", encoding="utf-8")
    unfinished.replace(folder / CONFIG)


def load_npnet(path: str | Path, revision: str | None = None, svd_attention: bool = True) -> GoldenNetwork:
    """An NPNet in evaluation mode on the CPU, in fp32.

    path: a folder written by `save_npnet` (an npnet artifact), its `model.safetensors`, a published checkpoint file
    (see `goldennoise.npnet.published`), "packaged/shapes", or a hub id "owner/name" of such a folder, with `revision`.
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


def find_npnet(source: str | Path, revision: str | None = None) -> Path:
    """The folder that `save_npnet` wrote or the published file, here on the disk; fetched if `source` is a hub id.

    Raises `ModelError` for what does not exist and for what is neither.
    """
    path = Path(source).expanduser()
    if not path.exists() and source in PACKAGED:
        return PACKAGED[str(source)]
    if not path.exists() and HUB_ID.fullmatch(str(source)) and path.suffix not in SUFFIXES:
        return _fetched(str(source), revision)
    if not path.exists():
        raise ModelError(f"{source} does not exist: give the folder or the file of a trained NPNet, or a hub id.")
    if path.is_dir():
        _refuse_published_alone(str(source), [entry.name for entry in path.iterdir()], f"give {path}/")
        return path
    if path.name == WEIGHTS and (path.parent / CONFIG).is_file():
        return path.parent
    if path.suffix in SUFFIXES:
        return path
    raise ModelError(f"{path} is no NPNet: give a folder with {WEIGHTS} and {CONFIG}, or a file {', '.join(SUFFIXES)}.")


def read_record(folder: Path) -> dict[str, Any]:
    """What `save_npnet` was told on where the network comes from. Raises `ModelError` for a damaged configuration."""
    record = _read_content(folder / CONFIG).get("record")
    return record if isinstance(record, dict) else {}


def _fetched(repository: str, revision: str | None) -> Path:
    try:
        folder = find_file(repository, CONFIG, revision=revision).parent
    except ModelError:
        at = f" --revision {revision}" if revision else ""
        fetch = f"run `hf download {repository}{at} FILE` and give the path that it prints, FILE being "
        _refuse_published_alone(repository, hub_files(repository, revision), fetch)
        raise
    find_file(repository, WEIGHTS, revision=revision)
    return folder


def _refuse_published_alone(source: str, files: Collection[str], hint: str) -> None:
    """Raise `ModelError` for a folder or repository without our configuration but with what may be published files."""
    found = sorted(name for name in files if Path(name).suffix in SUFFIXES)
    if found and CONFIG not in files:
        raise ModelError(
            f"{source} holds no {CONFIG} of an NPNet folder, but {', '.join(found)}: if that is a published "
            f"checkpoint, {hint}{found[0]}."
        )


def _load_folder(folder: Path) -> GoldenNetwork:
    config = _read_config(folder / CONFIG)
    tensors = read_safetensors(folder / WEIGHTS)
    network = blank_network(config)
    check_tensors(network.state_dict(), tensors, folder / WEIGHTS)
    network.load_state_dict(tensors)
    return network.eval()


def _read_content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path} does not exist: an NPNet folder holds {WEIGHTS} and {CONFIG}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is no JSON ({error}): copy or train the network again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f'{path} is not the configuration of an NPNet: it must say "format": "{FORMAT}".')
    return content


def _read_config(path: Path) -> NPNetConfig | LayoutNPNetConfig:
    content = _read_content(path).get("network")
    examples = {kind: network_config(part(), (8, 8, 8), 1, 1) for kind, part in ARCHITECTURES.items()}
    parts = content.get("architecture") if isinstance(content, dict) else None
    kind = parts.get("kind") if isinstance(parts, dict) else None
    # What names no kind of ours is held against the published one, whose error then says what is wrong.
    example = examples.get(str(kind), examples["npnet"])
    network = _typed(content, example, path)
    architecture = _typed(network["architecture"], example.architecture, path)
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
            f"{path} has missing or unknown fields ({', '.join(sorted(wrong))}): copy or train the network again."
        )
    for name, value in values.items():
        expected = json.loads(json.dumps(getattr(example, name), default=asdict))
        same_type = type(value) is type(expected) or (type(value) is int and type(expected) is float)
        if not same_type or (isinstance(value, list) and any(type(number) is not int for number in value)):
            raise ModelError(f"{path} has {name}={value!r}, which is of the wrong type; a valid one is {expected!r}.")
    return values
