"""Golden noise from an image of the prompt: the source moved towards its latents, or towards a part of them.

A denoiser was trained on noise that still holds a trace of an image, so it follows what it finds there: an image drawn
so faintly that the noise stays ordinary decides what stands where. The part is the layout, the latents less their mean
over space; that mean alone, the tone; or both. Needs captioned images, and no pass of the denoiser.
Of our own making; what it gains is in docs/results.md.
"""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.data.captioned_images import CaptionedImages, Folder, images_called
from goldennoise.errors import ModelError
from goldennoise.methods.base import Method, MethodConfig, refuse_second_tone
from goldennoise.store.options import NOT_NEGATIVE, filled, one_of, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools


@dataclass(frozen=True)
class Config(MethodConfig):
    """Images, and how faintly they are drawn. Compared with others in eval it is an oracle: it has seen an image of the
    very prompt."""

    keep_norm: bool = True
    """Scale every golden noise to the norm of its source noise."""
    kind: str = "layout"
    images: str = option("renders", filled("renders or a folder of captioned images"))
    """"renders", which the shapes world draws of its captions at random, or a folder of captioned images: its
    metadata.csv has the columns file_name and text."""
    part: str = option("layout", one_of("layout", "tone", "whole"))
    """Of the latents: what remains without their mean over space (layout), that mean (tone), or both (whole)."""
    strength: float | None = option(0.35, NOT_NEGATIVE)
    """Of the part, in units of the noise, at least 0; null for the forward process up to the sampler's first timestep,
    sqrt(alpha-bar) of the part and sqrt(1 - alpha-bar) of the noise."""

    def refuse_unfit(self, model: Any) -> None:
        if self.strength is None and self.part != "layout":
            refuse_second_tone(model)


class Layout(Method):
    def __init__(self, images: CaptionedImages, part: str, strength: float | None) -> None:
        self.images = images
        self.part = part
        self.strength = strength

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Raises `DataError` for a prompt that no image has.

        And `ModelError` with a strength of null for a model whose sampler starts from pure noise, or whose source noise
        has the tone of another image beside that of this one.
        """
        if self.strength is None and self.part != "layout" and model.is_toned:
            raise ModelError(
                f"part={self.part} at strength null adds the tone that source noise has: set model.tone=null"
            )
        samples = zip(batch.prompts, batch.seeds, strict=True)
        images = [self.images.image(prompt.text, seed, batch.root_seed) for prompt, seed in samples]
        latents = model.encode_images(images).to(batch.source)
        mean = latents.mean(dim=(-2, -1), keepdim=True)
        part = {"layout": latents - mean, "tone": mean.expand_as(latents), "whole": latents}[self.part]
        if self.strength is not None:
            return batch.source + self.strength * part
        alpha_bar = model.alpha_bar_of_start()
        return math.sqrt(alpha_bar) * part + math.sqrt(1 - alpha_bar) * batch.source


def identity(config: Config) -> dict[str, Any]:
    """The images by their content, wherever they lie. Raises `DataError` for a folder that cannot be read."""
    images = config.images if config.images == "renders" else Folder(config.images).digest()
    return asdict(config) | {"images": images}


def build(config: Config, tools: "MethodTools") -> Layout:  # noqa: ARG001
    """Raises `DataError` for a folder that cannot be read."""
    return Layout(images_called(config.images), config.part, config.strength)
