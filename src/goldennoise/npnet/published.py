"""The checkpoints published with arXiv 2411.09502, in the three layouts in circulation.

A nested `.pth` (`unet_svd`, `unet_embedding`, `embeeding`, `alpha`, `beta`) and two flat safetensors files, whose names
start with the former and spell the text embedding `embeeding.` or `text_embedding.`. A file for SDXL holds 30,470,940
numbers: the 29,700,915 parameters of the network, the backbone's classification head (769,000) and a batch
normalisation (1,025), which the network never uses.

Published weights run with the signs of singular vectors that the library returns (`canonical_signs` is False), because
that is what they were trained on; canonical signs would be a new input to them. The price: LAPACK and cuSOLVER return
different signs, so that the golden noise of a published network differs between CPU and GPU.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

# Only the class of the error that torch.load raises; nothing is unpickled outside torch's weights-only loader.
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from goldennoise.errors import ModelError
from goldennoise.npnet.config import ArchitectureConfig, NPNetConfig
from goldennoise.npnet.network import NPNet, seeded_npnet
from goldennoise.npnet.tensors import check_tensors, read_safetensors

SUFFIXES = (".safetensors", ".pth", ".pt")
NUM_TOKENS = 77
"""Length of the text encoder's output for every published file; the files themselves do not tell."""
ATTENTION = "unet_svd.attention."
PREFIXES = {
    "singular_values.left.": "unet_svd.mlp1.",
    "singular_values.right.": "unet_svd.mlp2.",
    "singular_values.values.": "unet_svd.mlp3.0.",
    "singular_values.change.": "unet_svd.mlp4.",
    "singular_values.attention.": ATTENTION,
    "residual.to_rgb.": "unet_embedding.downconv.",
    "residual.to_latent.": "unet_embedding.upconv.",
    "residual.swin.": "unet_embedding.swin.",
    "text_embedding.": "embeeding.",
}
UNUSED = {
    *(f"unet_svd.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    *(f"unet_embedding.swin.head.fc.{part}" for part in ("weight", "bias")),
}


def load_published(path: str | Path, svd_attention: bool = True, num_tokens: int = NUM_TOKENS) -> NPNet:
    """An NPNet in evaluation mode from a published checkpoint; latent size and text width follow from its tensors.

    svd_attention: True runs the network of the published inference code and of the published DiT trainer. The published
        SDXL trainer leaves the attention of the singular-value branch out and takes the mean over the singular vectors
        after the last layers, so that its files hold attention weights that were never trained. False runs that
        network, as it was trained.
    num_tokens: length of the text encoder's output.
    Raises `ModelError` for a missing, damaged or unsafe file and for missing or unknown tensors.
    """
    path = Path(path)
    tensors = read_published(path)
    network = seeded_npnet(_config(tensors, svd_attention, num_tokens, path), seed=0)
    ignored = {name for name in tensors if name in UNUSED or (name.startswith(ATTENTION) and not svd_attention)}
    found = {name: tensor for name, tensor in tensors.items() if name not in ignored}
    expected = {published_name(name): tensor for name, tensor in network.state_dict().items()}
    check_tensors(expected, found, path)
    network.load_state_dict({name: found[published_name(name)] for name in network.state_dict()})
    return network.eval()


def published_name(name: str) -> str:
    """The flat published name of a tensor of `NPNet`."""
    for ours, theirs in PREFIXES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def read_published(path: Path) -> dict[str, Tensor]:
    """Tensors of any of the three layouts under their flat names, `alpha` and `beta` without dimensions."""
    content = read_safetensors(path) if path.suffix == ".safetensors" else _read_pth(path)
    tensors = {}
    for name, value in _flat(content):
        if not isinstance(value, Tensor):
            raise ModelError(f"{path} holds {name}, which is no tensor: this is not a published NPNet.")
        name = name.replace("text_embedding.", "embeeding.", 1) if name.startswith("text_embedding.") else name
        tensors[name] = value.reshape(()) if name in ("alpha", "beta") and value.numel() == 1 else value
    return tensors


def _read_pth(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path} does not exist: give the file of a published NPNet.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(
            f"{path} is damaged or holds more than tensors, which could run code: it is refused, use safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ModelError(f"{path} is truncated or damaged: copy it again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no tensors by name: this is not a published NPNet.")
    return content


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _config(tensors: Mapping[str, Tensor], svd_attention: bool, num_tokens: int, path: Path) -> NPNetConfig:
    left, right, text = (
        _width(tensors, name, path)
        for name in ("unet_svd.mlp1.0.weight", "unet_svd.mlp2.0.weight", "embeeding.linear.weight")
    )
    if text % num_tokens:
        raise ModelError(f"{path} takes {text} numbers of text, which are not {num_tokens} tokens of one width.")
    architecture = ArchitectureConfig(svd_attention=svd_attention, canonical_signs=False)
    vector_mean = "before" if svd_attention else "after"
    # Every published network lays 4 channels out 2 x 2.
    return NPNetConfig((4, left // 2, right // 2), num_tokens, text // num_tokens, architecture, vector_mean)


def _width(tensors: Mapping[str, Tensor], name: str, path: Path) -> int:
    if name not in tensors or tensors[name].ndim != 2:
        raise ModelError(f"{path} is no published NPNet: it lacks the matrix {name}.")
    return tensors[name].shape[1]
