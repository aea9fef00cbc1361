"""Writing an NPNet in the layouts of the checkpoints published with arXiv 2411.09502, for code that reads those.

Such a file holds tensors and nothing else: whoever reads it builds the published network, with the signs of singular
vectors that the library returns. A network that needs other settings is refused. Stochastic depth acts in training only
and is not compared. Code in circulation loads every tensor strictly and always runs the attention; so what the network
never uses is written as it is before training (ones for scales and variances, else zeros), and a network without
attention gets one that gives the mean of all vectors, whose mean is what the network takes: the same golden noise.
No attention gives the network that the published SDXL trainer trains, whose mean comes after the last layers.
"""

from collections import defaultdict
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor

from goldennoise.networks.network import GoldenNetwork
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.published import published_name
from goldennoise.store.files import whole

FILES = {"nested": "npnet.pth", "flat": "npnet.safetensors"}
"""Layout -> name of its file. The flat one spells the text embedding `text_embedding.`."""

_HEAD_CLASSES = 1000


def save_published(network: GoldenNetwork, path: Path, layout: str) -> None:
    """Write the file whole or not at all, in fp32. layout: "nested" or "flat".

    Raises `ModelError` for a network that the published layouts cannot hold.
    """
    network.config.refuse_unpublishable()
    tensors = published_tensors(cast(NPNet, network))
    with whole(path) as beside:
        if layout == "flat":
            renamed = {name.replace("embeeding.", "text_embedding.", 1): tensor for name, tensor in tensors.items()}
            save_file(renamed, beside)
        else:
            torch.save(_nested(tensors), beside)


def published_tensors(network: NPNet) -> dict[str, Tensor]:
    """All tensors of the published file under their flat names, fp32 on the CPU, `alpha` and `beta` of shape (1,)."""
    assert network.residual is not None, "what can be published has both branches"
    assert network.singular_values is not None, "what can be published has both branches"
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
