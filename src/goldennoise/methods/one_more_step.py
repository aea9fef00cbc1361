"""One step more before the first: noise that holds the mean image of the prompt, as training noise would.

One More Step (arXiv 2311.15744). A schedule whose alpha-bar a is above 0 at its last timestep trained the denoiser on
noise that still holds a trace of an image; sampling starts as if it held none. A small network predicts the image from
pure noise e, which is the step of the forward process from alpha-bar 0 to a.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.errors import ModelError
from goldennoise.methods.base import Method, MethodConfig, refuse_second_tone
from goldennoise.networks.base import IMAGES
from goldennoise.store.files import file_digest
from goldennoise.store.identity import deciding, digest_of_lines
from goldennoise.store.options import NOT_NEGATIVE, Check, either, filled, option
from goldennoise.store.paths import given_path

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools
    from goldennoise.networks.network import GoldenNetwork
    from goldennoise.networks.one_more_step.text_encoder import ClipText

DIFFERS = (
    "one_more_step scales the noise by sqrt(1 - alpha-bar); the code of arXiv 2311.15744 forgets the root, as variant "
    "published does, and scales twice for samplers such as Euler's."
)
PLACE = "{prompt}"
"""In the template of the network's own prompt, where that of the image goes."""


@dataclass(frozen=True)
class Config(MethodConfig):
    """A network and what it is told. The denoiser's own prompt and guidance stay as they are."""

    kind: str = "one_more_step"
    artifact: str = option("npnet/shapes@latest", filled('a reference such as "npnet/shapes@latest"'), identity=False)
    """A trained network of this kind, such as "npnet/shapes@latest", its folder, or a hub id "owner/name"."""
    guidance: float = option(1.0, NOT_NEGATIVE)
    """Guidance scale of the network alone, at least 0; 1 is the prompt alone, in one pass in place of two."""
    prompt: str = option(PLACE, Check(lambda text: PLACE in text, f"a text with {PLACE}, where the prompt goes", repr))
    """What the network is told, with {prompt} in place of the prompt, such as "{prompt}, dark background"."""
    text_encoder: str | None = option(None, filled("a folder"))
    """Folder of the CLIP text model of transformers, with its tokenizer, that the network was trained with; null for
    the model's own."""
    variant: str = option("exact", either("exact", "published"))
    """"exact" scales the noise by sqrt(1 - alpha-bar); "published" by 1 - alpha-bar, as the published code does."""

    def networks(self) -> tuple[str, ...]:
        return (self.artifact,)

    def refuse_unfit(self, model: Any) -> None:
        refuse_second_tone(model)


class OneMoreStepMethod(Method):
    def __init__(self, config: Config, network: "GoldenNetwork", text_encoder: "ClipText | None" = None) -> None:
        self.config = config
        self.network = network.eval().requires_grad_(False)
        self.text_encoder = text_encoder

    def prepare(self, model: "DiffusionModel") -> None:
        """Raises `ModelError` for a model that starts from pure noise or whose source noise has a tone already."""
        if model.is_toned:
            raise ModelError("One More Step adds the tone that source noise has already: set model.tone=null.")
        model.alpha_bar_of_start()

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Raises what `prepare` raises, and `ModelError` for a network of another model."""
        self.prepare(model)
        alpha_bar = model.alpha_bar_of_start()
        image = self._image(model, batch)
        return stepped(image, batch.source.to(image), alpha_bar, self.config.variant).to(batch.source)

    def _image(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Guided prediction of the image, latents like the source in fp32."""
        import torch

        noise = batch.fresh_noise("one_more_step").float()
        network, guidance = self.network.to(noise.device), self.config.guidance
        cond, uncond = self._texts(model, batch)
        if guidance == 1.0:
            return network(noise, cond)
        without, given = network(torch.cat([noise, noise]), torch.cat([uncond, cond])).chunk(2)
        return without + guidance * (given - without)

    def _texts(self, model: "DiffusionModel", batch: "SampleBatch") -> "tuple[Tensor, Tensor]":
        """What the network is told, and what without the prompt, each (B, tokens, dim), fp32."""
        texts = [self.config.prompt.replace(PLACE, prompt.text) for prompt in batch.prompts]
        if self.text_encoder is None:
            embedding = batch.embedding if self.config.prompt == PLACE else model.encode(texts)
            return embedding.cond.float(), embedding.uncond.float()
        cond, uncond = self.text_encoder(texts, batch.source.device), self.text_encoder([""], batch.source.device)
        return cond, uncond.expand_as(cond)


def stepped(image: "Tensor", noise: "Tensor", alpha_bar: float, variant: str = "exact") -> "Tensor":
    """The step from pure noise to `alpha_bar`: sqrt(a) image + sqrt(1 - a) noise, of unit scale whatever the sampler.

    image, noise: (B, C, h, w). variant: "published" forgets the root, (1 - a) noise.
    """
    scale = 1 - alpha_bar if variant == "published" else (1 - alpha_bar) ** 0.5
    return alpha_bar**0.5 * image + scale * noise


def identity(config: Config) -> dict[str, Any]:
    """The text encoder by its content, wherever it lies."""
    if config.text_encoder is None:
        return deciding(config)
    files = sorted(file for file in given_path(config.text_encoder).glob("*") if file.is_file())
    content = digest_of_lines(f"{file.name}\t{file_digest(file)}" for file in files)
    return deciding(config) | {"text_encoder": content}


def build(config: Config, tools: "MethodTools") -> OneMoreStepMethod:
    """Raises `ArtifactError` when there is no such artifact, `ModelError` for one that cannot be loaded or used."""
    from goldennoise.networks.checkpoint import load_npnet

    network = load_npnet(tools.artifact_folder("npnet", config.artifact))
    if network.config.architecture.output != IMAGES:
        raise ModelError(
            f"{config.artifact} predicts noise, not an image: give it to method=[npnet]; one_more_step takes a network "
            "that was trained with npnet=one_more_step."
        )
    if config.text_encoder is None:
        return OneMoreStepMethod(config, network)
    from goldennoise.networks.one_more_step.text_encoder import ClipText

    return OneMoreStepMethod(config, network, ClipText(config.text_encoder))
