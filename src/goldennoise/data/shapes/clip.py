"""The world's preference model: a small open_clip model. It selects and filters; it does not decide."""

from collections.abc import Sequence

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.data.shapes.locations import CLIP, CLIP_WEIGHTS
from goldennoise.data.shapes.vocabulary import IMAGE_SIZE_PX
from goldennoise.errors import ScorerError
from goldennoise.store.files import file_digest

SCALE = 100.0


class ShapesClip:
    """100 x cosine between image and prompt, in [-100, 100]; differentiable with respect to the images."""

    name = "shapes_clip"
    higher_is_better = True
    unit = "cosine x 100"
    differentiable = True
    may_select = True

    def __init__(self, device: torch.device) -> None:
        """Raises `ScorerError` where the world's weights are missing."""
        weights = CLIP / CLIP_WEIGHTS
        if not weights.is_file():
            raise ScorerError(f"shapes_clip: {weights} is missing; reinstall goldennoise or run `make world`.")
        self.version = file_digest(weights)[:12]
        self._model = open_clip.create_model(f"local-dir:{CLIP}", device=device).eval().requires_grad_(False)
        self._tokenize = open_clip.get_tokenizer(f"local-dir:{CLIP}")
        self._device = device
        self._text_features: dict[str, Tensor] = {}

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Cosines x 100, (B,) on the CPU. images: (B, 3, height, width), float in [0, 1], resized to 64 px."""
        return SCALE * (self._features(images) * self._texts([prompt.text for prompt in prompts])).sum(dim=1).cpu()

    def embed(self, images: Tensor) -> Tensor:
        """Image features (B, 128) of unit length on the CPU, of the images that `score` takes."""
        return self._features(images).cpu()

    def _features(self, images: Tensor) -> Tensor:
        images = images.to(self._device, torch.float32)
        if images.shape[-2:] != (IMAGE_SIZE_PX, IMAGE_SIZE_PX):
            images = F.interpolate(images, size=(IMAGE_SIZE_PX, IMAGE_SIZE_PX), mode="bilinear", antialias=True)
        return self._model.encode_image(images * 2 - 1, normalize=True)

    def _texts(self, texts: Sequence[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in self._text_features]
        if new:
            with torch.no_grad():
                features = self._model.encode_text(self._tokenize(new).to(self._device), normalize=True)
            self._text_features.update(zip(new, features, strict=True))
        return torch.stack([self._text_features[text] for text in texts])
