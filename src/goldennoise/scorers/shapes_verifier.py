"""Right or wrong in the shapes world: exact, network-free. It only reports: it never filters pairs and never trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.data.prompts import Prompt
from goldennoise.data.shapes.captions import Caption, caption_of
from goldennoise.data.shapes.vocabulary import IMAGE_SIZE_PX
from goldennoise.errors import ScorerError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Config:
    """What a score counts."""

    kind: str = "shapes_verifier"
    soft: bool = False
    """Report the share of what is right in each image in place of whether all of it is."""


class ShapesVerifier:
    """1 where everything in the caption holds, else 0; or the soft score in [0, 1]."""

    version = "1"
    higher_is_better = True
    differentiable = False
    may_select = False
    usual = (0.0, 1.0)
    """By definition."""

    def __init__(self, soft: bool) -> None:
        self.name = "shapes_verifier_soft" if soft else "shapes_verifier"
        self.unit = "soft share right" if soft else "share right"
        self._soft = soft

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,) in [0, 1]. images: (B, 3, 64, 64), float in [0, 1]; prompts: captions of the world.

        Raises:
            ScorerError: a prompt is not a caption of the world, or the images have another size.
        """
        # The command line reads every Config before torch is loaded.
        import torch

        from goldennoise.data.shapes.verifier import verify

        height, width = images.shape[-2:]
        if (height, width) != (IMAGE_SIZE_PX, IMAGE_SIZE_PX):
            raise ScorerError(
                f"{self.name}: it reads images of {IMAGE_SIZE_PX} x {IMAGE_SIZE_PX} px, and these are {width} x "
                f"{height} px; give images of the shapes world, or leave the scorer out"
            )
        pixels = (images.detach().float().cpu().clamp(0, 1) * 255).permute(0, 2, 3, 1).numpy()
        captions = [_caption(prompt.text) for prompt in prompts]
        verdicts = [verify(each, caption) for each, caption in zip(pixels, captions, strict=True)]
        values = [verdict.soft if self._soft else float(verdict.right) for verdict in verdicts]
        return torch.tensor(values)


def version(config: Config) -> str:  # noqa: ARG001
    """Of the rules."""
    return ShapesVerifier.version


def build(config: Config, device: "torch.device") -> ShapesVerifier:  # noqa: ARG001
    """The verifier; it runs on the CPU whatever the device."""
    return ShapesVerifier(config.soft)


def _caption(prompt: str) -> Caption:
    caption = caption_of(prompt)
    if caption is None:
        raise ScorerError(f"shapes_verifier: {prompt!r} is not a caption of the shapes world, so it cannot be verified")
    return caption
