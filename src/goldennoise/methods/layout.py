"""Golden noise from a layout: the source moved towards the latents of an image of its prompt, less their mean in space.

A denoiser was trained on noise that still holds a trace of an image, so it follows what it finds there: an image drawn
so faintly that the noise stays ordinary decides what stands where. Needs captioned images, and no pass of the denoiser.
Of our own making; what it gains is in docs/results.md.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.data.captioned_images import CaptionedImages, Folder, Renders
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.store.options import NOT_NEGATIVE, filled, option

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
    strength: float = option(0.35, NOT_NEGATIVE)
    """Of the layout, in units of the noise, at least 0."""


class Layout(Method):
    def __init__(self, images: CaptionedImages, strength: float) -> None:
        self.images = images
        self.strength = strength

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Raises `DataError` for a prompt that no image has."""
        samples = zip(batch.prompts, batch.seeds, strict=True)
        images = [self.images.image(prompt.text, seed, batch.root_seed) for prompt, seed in samples]
        latents = model.encode_images(images).to(batch.source)
        return batch.source + self.strength * (latents - latents.mean(dim=(-2, -1), keepdim=True))


def identity(config: Config) -> dict[str, Any]:
    """The images by their content, wherever they lie. Raises `DataError` for a folder that cannot be read."""
    images = config.images if config.images == "renders" else Folder(config.images).digest()
    return asdict(config) | {"images": images}


def build(config: Config, tools: "MethodTools") -> Layout:  # noqa: ARG001
    """Raises `DataError` for a folder that cannot be read."""
    return Layout(Renders() if config.images == "renders" else Folder(config.images), config.strength)
