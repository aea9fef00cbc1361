"""The features of published FID: the 2,048 numbers of Inception v3 (2015-12-05) as torch-fidelity computes them."""

import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor

from goldennoise.errors import ConfigError, ModelError, shortened
from goldennoise.store.paths import given_path
from goldennoise.store.tensors import read_tensors

LAYER = "2048"


def inception(path: str | None, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Images (B, 3, height, width) in [0, 1] -> features (B, 2048); the network sees 8 bits and resizes by itself.

    path: file of weights; None for torch's cache of downloads, into which it is fetched.
    Raises `ConfigError` without torch-fidelity, `ModelError` for weights that are missing or others.
    """
    if find_spec("torch_fidelity") is None:
        raise ConfigError(
            "stage.features=inception: it needs torch-fidelity, which is not installed; pip install "
            "goldennoise[fidelity], or choose the features of a scorer"
        )
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    source = path or URL_INCEPTION_V3
    # The package unpickles its file of weights, which can run code. So our own reader reads the tensors.
    tensors = io.BytesIO()
    torch.save(_tensors(path, URL_INCEPTION_V3), tensors)
    tensors.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=tensors).to(device)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{source} holds other weights than Inception's ({shortened(error, 200)}): fetch it again."
        ) from error

    def embed(images: Tensor) -> Tensor:
        features: Tensor = network((images * 255).round().byte().to(device))[0]
        return features.cpu()

    return embed


def _tensors(path: str | None, url: str) -> Any:
    if path is not None:
        file: Path = given_path(path)
        if not file.is_file():
            raise ModelError(f"{file} does not exist: set stage.inception_path to the file that {url} gives.")
        return read_tensors(file, ModelError)
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False, weights_only=True)
    except (URLError, OSError) as error:
        raise ModelError(
            f"{url} could not be fetched ({error}): fetch it where there is a network, and set stage.inception_path to "
            "the file."
        ) from error
