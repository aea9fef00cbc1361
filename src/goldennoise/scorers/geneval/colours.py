"""The colour of an object, by zero-shot classification with OpenAI's CLIP ViT-L/14, as GenEval has it."""

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from goldennoise.errors import ModelError
from goldennoise.scorers.geneval.rules import Detection
from goldennoise.scorers.geneval.tasks import COLOURS
from goldennoise.store.hub import find_file

ARCHITECTURE = "ViT-L-14-quickgelu"
"""OpenAI's weights were trained with this approximation of GELU."""
PUBLISHED = "timm/vit_large_patch14_clip_224.openai"
TEMPLATES = ("a photo of a {colour} {name}", "a photo of a {colour}-colored {name}", "a photo of a {colour} object")
GREY = 0x99
"""What lies around the object where the mask is off."""


class ColourNamer:
    """Names one of `tasks.COLOURS` for an object: that whose text features are most like the image's."""

    def __init__(self, source: str, device: torch.device) -> None:
        """source: a local folder with open_clip_model.safetensors, or a hub id.

        Raises `ModelError` for a file that is missing or holds another network.
        """
        weights = find_file(source, "open_clip_model.safetensors")
        try:
            network, _, transform = open_clip.create_model_and_transforms(ARCHITECTURE, pretrained=str(weights))
        # open_clip and torch fail on damaged bytes with whatever their first wrong step raises.
        except Exception as error:
            raise ModelError(f"{weights} does not hold CLIP {ARCHITECTURE}: give {PUBLISHED}") from error
        self._network = network.to(device).eval()
        self._transform = transform
        self._tokenize = open_clip.get_tokenizer(ARCHITECTURE)
        self._device = device
        self._texts: dict[str, Tensor] = {}

    @torch.no_grad()
    def name(self, pixels: NDArray[np.uint8], detection: Detection) -> str:
        """The colour of an object in the image `pixels` (height, width, 3)."""
        crop = self._transform(cut_out(pixels, detection))[None].to(self._device)
        features = self._network.encode_image(crop, normalize=True)[0]
        return COLOURS[int((self._text_features(detection.name) @ features).argmax())]

    def _text_features(self, name: str) -> Tensor:
        """One unit vector per colour, (10, dim): the mean over the templates for objects called `name`."""
        if name not in self._texts:
            texts = [template.format(colour=colour, name=name) for colour in COLOURS for template in TEMPLATES]
            features = self._network.encode_text(self._tokenize(texts).to(self._device), normalize=True)
            means = features.unflatten(0, (len(COLOURS), len(TEMPLATES))).mean(dim=1)
            self._texts[name] = F.normalize(means, dim=1)
        return self._texts[name]


def cut_out(pixels: NDArray[np.uint8], detection: Detection) -> Image.Image:
    """The object's box with grey where its mask is off. pixels: (height, width, 3)."""
    left, top, right, bottom = (round(edge) for edge in detection.box_px)
    masked = np.where(detection.mask[:, :, None], pixels, np.uint8(GREY))
    return Image.fromarray(masked[top:bottom, left:right])
