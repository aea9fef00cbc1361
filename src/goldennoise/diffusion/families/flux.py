"""FLUX.1 dev and schnell: a flow-matching transformer guided in one pass, text from CLIP and T5. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from goldennoise.diffusion.base import PipelineConfig
from goldennoise.errors import require
from goldennoise.store.options import NOT_NEGATIVE, Check, option

if TYPE_CHECKING:
    import torch

    from goldennoise.diffusion.protocol import DiffusionModel

PIPELINES = ("FluxPipeline",)


@dataclass(frozen=True)
class Config(PipelineConfig):
    """As `PipelineConfig`, without a negative prompt."""

    side_multiple_px: ClassVar[int] = 16
    schedulers: ClassVar[tuple[str, ...]] = ("flow_euler",)
    timestep_spacings: ClassVar[tuple[str, ...]] = ()
    is_guided_by_input: ClassVar[bool] = True

    kind: str = "flux"
    path: str = "black-forest-labs/FLUX.1-dev"
    """A local diffusers folder, or a hub id."""
    num_steps: int = 28
    """Steps of the sampler, at least 1."""
    guidance: float = option(3.5, NOT_NEGATIVE)
    """The scale that dev takes as an input; schnell takes none."""
    scheduler: str = "flow_euler"
    """The pipeline's own Euler along the flow."""
    max_sequence_length: int = option(512, Check(range(1, 513).__contains__, "between 1 and 512 tokens"))
    """Tokens of T5: 512 for dev, 256 for schnell."""

    def __post_init__(self) -> None:
        super().__post_init__()
        reason = "null: this family is guided by a scale it takes as an input, not away from a prompt"
        require(self.negative_prompt is None, "negative_prompt", repr(self.negative_prompt), reason)


def build(config: Config, device: "torch.device") -> "DiffusionModel":
    """Load the pipeline and move it to `device`. Raises `ModelError` for one that is missing or of another family."""
    from goldennoise.diffusion.families.latent_flux import Flux

    return Flux.load(config, PIPELINES, device, max_sequence_length=config.max_sequence_length)


def from_pipeline(pipe: Any, negative_prompt: str | None = None) -> "DiffusionModel":
    """A `FluxPipeline` with its own scheduler, device and dtype, and diffusers' default 28 steps at 3.5.

    T5 reads 512 tokens, as in dev, or 256 where the network takes no guidance, as in schnell.
    """
    from goldennoise.diffusion.families.latent_flux import Flux

    length = 512 if pipe.transformer.config.guidance_embeds else 256
    name = pipe.name_or_path or type(pipe).__name__
    return Flux(
        pipe, name=name, num_steps=28, guidance=3.5, negative_prompt=negative_prompt, max_sequence_length=length
    )
