"""Writing an NPNet in the layouts of the checkpoints published with arXiv 2411.09502, for code that reads those.

Such a file holds tensors and nothing else: whoever reads it builds the published network, with the signs of singular
vectors that the library returns. A network that needs other settings is refused. Stochastic depth acts in training only
and is not compared. Code in circulation loads every tensor strictly and always runs the attention; so what the network
never uses is written as it is before training (ones for scales and variances, else zeros), and a network without
attention gets one that gives the mean of all vectors, whose mean is what the network takes: the same golden noise.
No attention gives the network that the published SDXL trainer trains, whose mean comes after the last layers.
"""

from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from goldennoise.errors import ModelError
from goldennoise.networks.config import ArchitectureConfig, NetworkInputs, NPNetConfig
from goldennoise.networks.kinds import GoldenNetwork
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.published import NUM_TOKENS, published_name
from goldennoise.store.files import whole

FILES = {"nested": "npnet.pth", "flat": "npnet.safetensors"}
"""Layout -> name of its file. The flat one spells the text embedding `text_embedding.`."""

_FREE = ("drop_path_rate", "pretrained_backbone", "svd_attention")
"""Options of an architecture that decide nothing a published layout would lose."""

_HEAD_CLASSES = 1000


def save_published(network: GoldenNetwork, path: Path, layout: str) -> None:
    """Write the file whole or not at all, in fp32. layout: "nested" or "flat".

    Raises `ModelError` for a network that the published layouts cannot hold.
    """
    refuse_unpublishable(network.config)
    assert isinstance(network, NPNet), "nothing else is publishable"
    tensors = published_tensors(network)
    with whole(path) as beside:
        if layout == "flat":
            renamed = {name.replace("embeeding.", "text_embedding.", 1): tensor for name, tensor in tensors.items()}
            save_file(renamed, beside)
        else:
            torch.save(_nested(tensors), beside)


def refuse_unpublishable(config: NetworkInputs) -> None:
    """Raise `ModelError` naming every setting that differs from the published network's."""
    if not isinstance(config, NPNetConfig):
        raise ModelError(
            "A published layout holds the network of arXiv 2411.09502, and this one draws layouts of images: keep it "
            "in the layout goldennoise."
        )
    published = ArchitectureConfig(canonical_signs=False)
    others = [
        f"{option.name}={getattr(config.architecture, option.name)}, not {getattr(published, option.name)}"
        for option in fields(published)
        if option.name not in _FREE and getattr(config.architecture, option.name) != getattr(published, option.name)
    ]
    if config.latent_shape[0] != 4:
        others.append(f"{config.latent_shape[0]} latent channels, not 4")
    if config.vector_mean != "before":
        others.append(f"vector_mean={config.vector_mean}, not before")
    if config.num_tokens != NUM_TOKENS:
        others.append(f"{config.num_tokens} tokens, not {NUM_TOKENS}")
    if others:
        raise ModelError(
            "A published layout holds tensors without settings, so whoever reads it builds the published network and "
            f"would get other golden noise: this NPNet has {'; '.join(others)}; keep it in the layout goldennoise, or "
            "train one with npnet=published npnet.canonical_signs=false."
        )


def published_tensors(network: NPNet) -> dict[str, Tensor]:
    """All tensors of the published file under their flat names, fp32 on the CPU, `alpha` and `beta` of shape (1,)."""
    values, features = network.config.num_values, network.residual.swin.num_features
    tensors = {published_name(name): tensor for name, tensor in network.state_dict().items()}
    if network.singular_values.attention is None:
        tensors |= _mean_attention(values)
    tensors = {name: tensor.detach().cpu().float().contiguous() for name, tensor in tensors.items()}
    return tensors | {
        "alpha": tensors["alpha"].reshape(1),
        "beta": tensors["beta"].reshape(1),
        "unet_svd.bn.weight": torch.ones(values),
        "unet_svd.bn.bias": torch.zeros(values),
        "unet_svd.bn.running_mean": torch.zeros(values),
        "unet_svd.bn.running_var": torch.ones(values),
        "unet_svd.bn.num_batches_tracked": torch.tensor(0),
        "unet_embedding.swin.head.fc.weight": torch.zeros(_HEAD_CLASSES, features),
        "unet_embedding.swin.head.fc.bias": torch.zeros(_HEAD_CLASSES),
    }


def _mean_attention(width: int) -> dict[str, Tensor]:
    """Queries and keys of 0 weigh all vectors alike; values and projection leave them as they are."""
    same = torch.eye(width)
    return {
        "unet_svd.attention.qkv.weight": torch.cat([torch.zeros(2 * width, width), same]),
        "unet_svd.attention.proj.weight": same,
        "unet_svd.attention.proj.bias": torch.zeros(width),
    }


def _nested(tensors: dict[str, Tensor]) -> dict[str, Tensor | dict[str, Tensor]]:
    parts: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if rest:
            parts[part][rest] = tensor
    return {**parts, "alpha": tensors["alpha"], "beta": tensors["beta"]}
