"""The source noise with the channel means that another image would leave in it: a control without a network.

Sampling starts from noise that holds nothing of an image, while the noise of training at that timestep did. Of that
trace the channel means alone are put back, so nothing is told of what the image shows.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.data.captioned_images import Folder, images_called
from goldennoise.diffusion.identity import tones_digest
from goldennoise.errors import ModelError
from goldennoise.methods.base import Method, MethodConfig, refuse_second_tone
from goldennoise.store.options import filled, number, one_of, option
from goldennoise.store.paths import given_path

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.diffusion.tone import Tones
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools


@dataclass(frozen=True)
class Config(MethodConfig):
    """Whose tone, and from which images. For models whose sampler starts above alpha-bar 0, as Stable Diffusion's."""

    control: ClassVar[str | None] = "noise"

    kind: str = "tone"
    of: str = option("other", one_of("other", "dark", "light", "gaussian"))
    """One of `diffusion.tone.KINDS`."""
    images: str = option("renders", filled("renders, a folder of captioned images or a file of tones"))
    """"renders" of training captions of the shapes world, a folder of captioned images (its metadata.csv has the
    columns file_name and text), or a .safetensors file that `Tones.save` wrote."""
    num_images: int = option(512, number(least=1))
    """Images that are encoded, at least 1; of a folder the first."""

    def refuse_unfit(self, model: Any) -> None:
        refuse_second_tone(model)


class ToneMethod(Method):
    def __init__(self, config: Config) -> None:
        self.config = config
        self._tones: Tones | None = None

    def prepare(self, model: "DiffusionModel") -> None:
        """Encode the images. Raises `ModelError` as `golden` does."""
        self._tones_for(model)

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Raises `ModelError` for a model whose sampler starts from pure noise, or whose source noise has a tone."""
        from goldennoise.diffusion.tone import toned

        drawn = self._tones_for(model).draw(self.config.of, batch.derived_seeds("tone"))
        return toned(batch.source, drawn, model.alpha_bar_of_start())

    def _tones_for(self, model: "DiffusionModel") -> "Tones":
        if model.is_toned:
            raise ModelError("model.tone gives the source noise a tone: set model.tone=null to compare other tones")
        if self._tones is None:
            self._tones = self._measured(model)
        return self._tones

    def _measured(self, model: "DiffusionModel") -> "Tones":
        from goldennoise.diffusion.tone import load_tones, tones_of

        if _is_file(self.config.images):
            return load_tones(given_path(self.config.images))
        return tones_of(model, images_called(self.config.images).some(self.config.num_images))


def identity(config: Config) -> dict[str, Any]:
    """The images by their content, wherever they lie.

    Raises `DataError` for a folder that cannot be read, `ModelError` for a file of tones that is missing.
    """
    options, images = asdict(config), config.images
    if _is_file(images):
        del options["num_images"]
        images = tones_digest(images)
    elif images != "renders":
        images = Folder(images).digest()
    return options | {"images": images}


def build(config: Config, tools: "MethodTools") -> ToneMethod:  # noqa: ARG001
    return ToneMethod(config)


def _is_file(images: str) -> bool:
    return images.endswith(".safetensors")
