"""Image and text encoder of a CLIP model that open_clip builds, with published weights."""

from collections.abc import Sequence

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from goldennoise.scorers.networks.preprocess import cropped, letterboxed
from goldennoise.scorers.networks.texts import KeptTexts, num_cut
from goldennoise.scorers.networks.weights import frozen, load_strictly, read_weights
from goldennoise.scorers.options import WeightsConfig


class OpenClipTowers:
    """Features of unit length in float32, on the networks' device."""

    def __init__(self, architecture: str, config: WeightsConfig, file: str, device: torch.device) -> None:
        """architecture: open_clip's name; file: the weights in `config.path`, under open_clip's names.

        Raises `ModelError` for missing weights, `ScorerError` unless they are exactly those of the architecture.
        """
        tensors = read_weights(config.path, file, config.revision, config.sha256)
        # create_model would warn that these weights are random, before they are replaced.
        model = open_clip.CLIP(**open_clip.get_model_config(architecture))
        load_strictly(model, tensors, f"{config.path}/{file}")
        # Else torch copies frozen weights for every token of a text, which takes ten times as long in bfloat16.
        model.transformer.batch_first = False
        for block in model.transformer.resblocks:
            block.attn.batch_first = False
        self._model = frozen(model, device, config.dtype)
        self._tokenize = open_clip.get_tokenizer(architecture)
        self.num_tokens = int(model.context_length)
        self._device = device
        self._dtype = getattr(torch, config.dtype)
        self._side_px = int(model.visual.image_size[0])
        self.texts = KeptTexts(self._encode_texts)
        """Prompts, cut after the architecture's number of tokens -> (B, dim)."""

    def num_cut(self, texts: Sequence[str]) -> int:
        """How many texts are longer than `num_tokens`."""
        return num_cut(self._tokenize, self.num_tokens, texts)

    def cropped(self, images: Tensor) -> Tensor:
        """(B, dim) of the middle of images (B, 3, height, width) in [0, 1]."""
        return self._encode_images(cropped(images.to(self._device), self._side_px))

    def letterboxed(self, images: Tensor) -> Tensor:
        """(B, dim) of whole images (B, 3, height, width) in [0, 1], black where they are not square."""
        return self._encode_images(letterboxed(images.to(self._device), self._side_px))

    def _encode_images(self, pixels: Tensor) -> Tensor:
        return F.normalize(self._model.encode_image(pixels.to(self._dtype)).float(), dim=-1)

    def _encode_texts(self, texts: Sequence[str]) -> Tensor:
        features = self._model.encode_text(self._tokenize(list(texts)).to(self._device))
        return F.normalize(features.float(), dim=-1)
