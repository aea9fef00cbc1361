"""A time predictor on disk: `model.safetensors` and `config.json`, or a published file. Loading never executes code."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from goldennoise.errors import ModelError, require
from goldennoise.networks.time_predictor import CONFIG, FORMAT, WEIGHTS, TimePredictorConfig, read_config
from goldennoise.networks.time_predictor.network import TimePredictor
from goldennoise.store.files import whole, write_json
from goldennoise.store.tensors import mismatch, read_tensors

PREFIXES = ("agent_model.time_predictor.", "time_predictor.", "")
"""What may stand before the names of tensors; the first is that of the published files."""
LANDMARK = "conv1.weight"
"""A tensor of every file, whose shape tells the width."""


def save_time_predictor(network: TimePredictor, folder: Path, record: Mapping[str, Any]) -> None:
    """Write the weights (fp32) and the configuration into `folder`, each file whole or not at all.

    record: JSON values on where the network comes from, kept in `config.json`.
    """
    tensors = {name: tensor.detach().cpu().float().contiguous() for name, tensor in network.state_dict().items()}
    with whole(folder / WEIGHTS) as beside:
        save_file(tensors, beside)
    write_json(folder / CONFIG, {"format": FORMAT, "network": asdict(network.config), "record": dict(record)})


def load_time_predictor(path: str | Path, layout: str | None = None) -> TimePredictor:
    """A time predictor in evaluation mode on the CPU, in fp32; called as network(features, time_embedding).

    path: a folder that `stage=train_schedule` wrote, or a file of weights, published (`.pth`, `.pt`, `.bin`,
    `.safetensors`) or ours. layout: of the tokens, for a file, "raster" unless given; weights that were published for
    Stable Diffusion 3 need "published". A folder says it itself.
    Raises `ModelError` for a file that is missing, damaged, or does not hold exactly the 12 tensors, `ConfigError` for
    a layout that does not exist, and for one beside a folder.
    """
    require(isinstance(path, str | Path), "path", f"a {type(path).__name__}", "a folder or a file")
    path = Path(path).expanduser()
    if path.is_dir():
        require(layout is None, "layout", layout, "left out for a folder, whose config.json has it")
        config = read_config(path / CONFIG)
        return _filled(config, read_tensors(path / WEIGHTS, ModelError), path / WEIGHTS)
    tensors = read_tensors(path, ModelError)
    if isinstance(inside := tensors.get("state_dict"), dict):
        tensors = inside
    first = next((tensors[prefix + LANDMARK] for prefix in PREFIXES if prefix + LANDMARK in tensors), None)
    if not isinstance(first, Tensor) or first.ndim != 4 or first.shape[1] < 2 or first.shape[1] % 2:
        raise ModelError(
            f"{path} holds no time predictor: it has no tensor {LANDMARK} of an even number of channels; give a file "
            "of its weights."
        )
    return _filled(TimePredictorConfig(first.shape[1] // 2, layout=layout or "raster"), tensors, path)


def _filled(config: TimePredictorConfig, tensors: Mapping[str, Tensor], source: Path) -> TimePredictor:
    prefix = next((prefix for prefix in PREFIXES if prefix + LANDMARK in tensors), "")
    with torch.device("meta"):
        described = TimePredictor(config).state_dict()
    if problems := mismatch({prefix + name: tensor for name, tensor in described.items()}, tensors):
        raise ModelError(f"{source} does not hold the tensors of a time predictor: it is {problems}.")
    network = TimePredictor(config)
    network.load_state_dict({name: tensors[prefix + name] for name in described})
    return network.eval()
