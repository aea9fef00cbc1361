"""The preference model of the shapes world, a small open_clip model, which stands for HPSv2 there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.data.prompts import Prompt
from goldennoise.data.shapes.locations import CLIP, CLIP_WEIGHTS
from goldennoise.data.shapes.vocabulary import IMAGE_SIZE_PX
from goldennoise.errors import ScorerError
from goldennoise.store.files import file_digest
from goldennoise.store.hub import digest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCALE = 100.0


@dataclass(frozen=True)
class Config:
    kind: str = "shapes_clip"


class ShapesClip:
    """100 x cosine between image and prompt, in [-100, 100]; differentiable with respect to the images."""

    name = "shapes_clip"
    higher_is_better = True
    unit = "cosine x 100"
    differentiable = True
    may_select = True
    usual = (60.0, 90.0)
    """Measured here: 98 of 100 renders with their own captions lie in [61, 91]; with other captions the mean is 6."""

    def __init__(self, device: "torch.device") -> None:
        """Raises `ScorerError` where the world's weights are missing."""
        import open_clip

        from goldennoise.scorers.networks.texts import KeptTexts

        weights = CLIP / CLIP_WEIGHTS
        if not weights.is_file():
            raise ScorerError(f"shapes_clip: {weights} is missing; reinstall goldennoise or run `make world`.")
        self.version = file_digest(weights)[:12]
        self._model = open_clip.create_model(f"local-dir:{CLIP}", device=device).eval().requires_grad_(False)
        self._tokenize = open_clip.get_tokenizer(f"local-dir:{CLIP}")
        self.num_tokens = int(self._tokenize.context_length)
        self._device = device
        self._texts = KeptTexts(self._encode_texts)

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """Cosines x 100, (B,) on the CPU. images: (B, 3, height, width), float in [0, 1], resized to 64 px."""
        return SCALE * (self._features(images) * self._texts([prompt.text for prompt in prompts])).sum(dim=1).cpu()

    def num_cut(self, prompts: Sequence[Prompt]) -> int:
        """How many prompts are longer than `num_tokens`."""
        from goldennoise.scorers.networks.texts import num_cut

        return num_cut(self._tokenize, self.num_tokens, [prompt.text for prompt in prompts])

    def embed(self, images: "Tensor") -> "Tensor":
        """Image features (B, 128) of unit length on the CPU, of the images that `score` takes."""
        return self._features(images).cpu()

    def _features(self, images: "Tensor") -> "Tensor":
        from torch.nn.functional import interpolate

        images = images.to(self._device).float()
        if images.shape[-2:] != (IMAGE_SIZE_PX, IMAGE_SIZE_PX):
            images = interpolate(images, size=(IMAGE_SIZE_PX, IMAGE_SIZE_PX), mode="bilinear", antialias=True)
        return self._model.encode_image(images * 2 - 1, normalize=True)

    def _encode_texts(self, texts: Sequence[str]) -> "Tensor":
        return self._model.encode_text(self._tokenize(texts).to(self._device), normalize=True)


def version(config: Config) -> str | None:  # noqa: ARG001
    """Digest of the world's weights; None where they are missing."""
    return digest(str(CLIP), CLIP_WEIGHTS)


def build(config: Config, device: "torch.device") -> ShapesClip:  # noqa: ARG001
    """Raises `ScorerError` where the world's weights are missing."""
    return ShapesClip(device)
