"""The checkpoints published with arXiv 2411.09502, in the three layouts in circulation.

A nested `.pth` (`unet_svd`, `unet_embedding`, `embeeding`, `alpha`, `beta`) and two flat safetensors files, whose names
start with the former and spell the text embedding `embeeding.` or `text_embedding.`. A file for SDXL holds 30,470,940
numbers: the 29,700,915 parameters of the network, the backbone's classification head (769,000) and a batch
normalisation (1,025), which the network never uses.

Files of networks that users trained with the published code come as their trainers save them: inside the entry of a
checkpoint beside the state of its training, with the prefixes of wrappers, or with buffers that follow from the sizes.

Published weights run with the signs of singular vectors that the library returns (`canonical_signs` is False), because
that is what they were trained on; canonical signs would be a new input to them. The price: LAPACK and cuSOLVER return
different signs, so that the golden noise of a published network differs between CPU and GPU.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from goldennoise.errors import ModelError, require, shortened
from goldennoise.networks.network import GoldenNetwork, filled_network
from goldennoise.networks.npnet import PUBLISHED_TOKENS, Config, NetworkConfig
from goldennoise.networks.one_more_step import published as one_more_step
from goldennoise.store.tensors import is_plain, read_tensors

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
PARTS = ("unet_svd", "unet_embedding", "embeeding", "text_embedding", "alpha", "beta")
LANDMARK = "unet_svd.mlp1.0.weight"
"""A tensor of every published file: what stands before it in a name is not the network's."""
WRAPPERS = {"module", "_orig_mod"}
"""What torch's data parallelism and torch.compile put into names."""
TRAINING = re.compile(r"(optimizer|lr_scheduler|scheduler|scaler)[^.]*\..*")
"""Entries beside the network that hold tensors of its training."""
UNUSED = re.compile(
    r"unet_svd\.bn\.(weight|bias|running_mean|running_var|num_batches_tracked)"
    r"|unet_embedding\.swin\.head\.(fc\.)?(weight|bias)"
    r"|unet_embedding\.swin\.(.+\.)?(relative_position_index|attn_mask)"
)
"""What the network never uses, and buffers of timm's Swin that follow from its sizes."""
_MAX_NESTING = 6


def load_published(path: str | Path, svd_attention: bool = True, num_tokens: int = PUBLISHED_TOKENS) -> GoldenNetwork:
    """A network in evaluation mode from a published checkpoint; latent size and text width follow from its tensors.

    svd_attention: True runs the network of the published inference code and of the published DiT trainer. The published
        SDXL trainer leaves the attention of the singular-value branch out and takes the mean over the singular vectors
        after the last layers, so that its files hold attention weights that were never trained. False runs that
        network, as it was trained.
    num_tokens: length of the text encoder's output.
    A file of One More Step gives the network of that; see `goldennoise.networks.one_more_step.published`.
    Raises `ModelError` for a missing, damaged or unsafe file and for missing or unknown tensors.
    """
    require(num_tokens >= 1, "num_tokens", num_tokens, "at least 1")
    path = Path(path)
    tensors = read_published(path)
    if one_more_step.LANDMARK in tensors:
        require(svd_attention, "svd_attention", svd_attention, f"true for {path}, which is no NPNet")
        return one_more_step.network_of(tensors, path)
    config = _config(tensors, svd_attention, num_tokens, path)
    found = {
        name: tensor
        for name, tensor in tensors.items()
        if not UNUSED.fullmatch(name) and (svd_attention or not name.startswith(ATTENTION))
    }
    return filled_network(config, found, path, published_name)


def published_name(name: str) -> str:
    """The flat published name of a tensor of `NPNet`."""
    for ours, theirs in PREFIXES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def read_published(path: Path) -> dict[str, Tensor]:
    """Tensors of any of the three layouts under their flat names, `alpha` and `beta` without dimensions.

    Of a checkpoint that holds the network in an entry or with a prefix, the tensors of the network alone.
    Raises `ModelError` for a file that holds several networks, or something else than tensors in one.
    """
    entries = [(_unwrapped(name), value) for name, value in _flat(read_tensors(path, ModelError))]
    prefixes = sorted({name.removesuffix(LANDMARK) for name, _ in entries if f".{name}".endswith(f".{LANDMARK}")})
    if len(prefixes) > 1:
        places = ", ".join(shortened(prefix) or "the file itself" for prefix in prefixes)
        raise ModelError(f"{path} holds {len(prefixes)} networks, in {places}: save one of them alone.")
    prefix = prefixes[0] if prefixes else ""
    tensors: dict[str, Tensor] = {}
    for full_name, value in entries:
        name = full_name.removeprefix(prefix)
        if full_name.startswith(prefix) and _is_of_network(name, value):
            name = name.replace("text_embedding.", "embeeding.", 1) if name.startswith("text_embedding.") else name
            if not is_plain(value):
                raise ModelError(f"{path} holds {shortened(name)}, which is no tensor: this is not a published NPNet.")
            if name in tensors:
                raise ModelError(f"{path} holds {shortened(name)} twice, under different prefixes: save it once.")
            tensors[name] = value.reshape(()) if name in ("alpha", "beta") and value.numel() == 1 else value
    return tensors


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _is_of_network(name: str, value: Any) -> bool:
    """Whether an entry counts: what is neither in a part of the network nor a tensor is the state of a training."""
    return name.partition(".")[0] in PARTS or (isinstance(value, Tensor) and not TRAINING.fullmatch(name))


def _flat(content: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings with its dotted name; what is nested deeper than any checkpoint is left whole."""
    levels: list[tuple[int, str, Mapping[Any, Any]]] = [(0, "", content)]
    seen = {id(content)}
    while levels:
        depth, prefix, mapping = levels.pop()
        for name, value in mapping.items():
            if not isinstance(value, Mapping) or depth == _MAX_NESTING:
                yield f"{prefix}{name}", value
            # A pickle may hold a mapping in itself.
            elif id(value) not in seen:
                seen.add(id(value))
                levels.append((depth + 1, f"{prefix}{name}.", value))


def _config(tensors: Mapping[str, Tensor], svd_attention: bool, num_tokens: int, path: Path) -> NetworkConfig:
    left, right, text = (
        _width(tensors, name, path)
        for name in ("unet_svd.mlp1.0.weight", "unet_svd.mlp2.0.weight", "embeeding.linear.weight")
    )
    if text % num_tokens:
        raise ModelError(f"{path} takes {text} numbers of text, which are not {num_tokens} tokens of one width.")
    architecture = Config(svd_attention=svd_attention, canonical_signs=False)
    vector_mean = "before" if svd_attention else "after"
    # Every published network lays 4 channels out 2 x 2.
    latent_shape = (4, left // 2, right // 2)
    try:
        return NetworkConfig(latent_shape, num_tokens, text // num_tokens, architecture, vector_mean)
    except ModelError as error:
        raise ModelError(f"{path} is no published NPNet: {error}") from error


def _width(tensors: Mapping[str, Tensor], name: str, path: Path) -> int:
    if name not in tensors or tensors[name].ndim != 2:
        raise ModelError(f"{path} is no published NPNet: it lacks the matrix {name}.")
    return tensors[name].shape[1]
