"""What every network is built from. Imports no torch: the command line reads it before anything heavy loads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from goldennoise.errors import ModelError
from goldennoise.store.options import Options

if TYPE_CHECKING:
    from torch import Tensor

IMAGES = "images"
"""`output` of networks that predict latents of an image, from which nothing is sampled as they are."""


@dataclass(frozen=True)
class Architecture(Options):
    """What a user chooses of a network: the base of the `Config` of every kind."""

    output: ClassVar[str] = "noise"
    """What a network draws for a prompt: it learns by the objectives for this output."""
    free: ClassVar[tuple[str, ...]] = ()
    """Options that act in training or in use alone: networks that differ in these take each other's weights."""
    needs_model: ClassVar[bool] = False
    """Whether it works inside the text-to-image model, so that training has that on every process."""

    kind: str = ""
    """Name of the module in `goldennoise.networks`."""


@dataclass(frozen=True)
class NetworkInputs:
    """A network for one text-to-image model: the base of the `NetworkConfig` of every kind.

    Raises `ModelError` on a misfit.
    """

    latent_shape: tuple[int, int, int]
    """(C, h, w) of the model's latents."""
    num_tokens: int
    """Tokens of its prompt embeddings."""
    text_dim: int
    """Width of its prompt embeddings."""
    architecture: Any
    """The `Config` of the network's kind."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "latent_shape", tuple(self.latent_shape))
        if len(self.latent_shape) != 3 or min(*self.latent_shape, self.num_tokens, self.text_dim) < 1:
            raise ModelError(
                f"An NPNet needs latents (C, h, w) and text (tokens, dim) of sizes >= 1, not {self.latent_shape} and "
                f"({self.num_tokens}, {self.text_dim})."
            )

    @property
    def num_frozen(self) -> int:
        """Numbers that it computes of a noise whatever its weights, and training stores."""
        return 0

    def on(self, model: Any) -> Self:  # noqa: ARG002
        """The same network with what it takes over from its `DiffusionModel`."""
        return self

    def blank(self) -> Self:
        """The same network for weights that are loaded afterwards: it fetches none to be overwritten."""
        return self

    def refuse_images(self) -> None:
        """Raise `ModelError` for a network that predicts an image where golden noise is needed."""
        if self.architecture.output == IMAGES:
            raise ModelError(
                "This network predicts an image, not noise: give it to method=[one_more_step], as its artifact."
            )

    def refuse_unpublishable(self) -> None:
        """Raise `ModelError` unless the published layouts hold everything that decides this network's golden noise."""
        raise ModelError(
            f"A published layout holds the network of arXiv 2411.09502, and this one draws {self.architecture.output} "
            "by another architecture: keep it in the layout goldennoise."
        )

    def check(self, noise: "Tensor", prompt_embeds: "Tensor") -> None:
        """Raise `ModelError` unless noise (B, C, h, w) and embeddings (B, tokens, dim) are what the network takes."""
        text_shape = (self.num_tokens, self.text_dim)
        if tuple(noise.shape[1:]) != self.latent_shape or tuple(prompt_embeds.shape[1:]) != text_shape:
            raise ModelError(
                f"This NPNet takes noise (B, {', '.join(map(str, self.latent_shape))}) and prompt embeddings "
                f"(B, {self.num_tokens}, {self.text_dim}), not {tuple(noise.shape)} and "
                f"{tuple(prompt_embeds.shape)}: use the network trained for this model."
            )
        if len(noise) != len(prompt_embeds):
            raise ModelError(
                f"{len(noise)} noises came with {len(prompt_embeds)} prompt embeddings: every noise needs its own."
            )
