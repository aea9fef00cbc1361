"""Golden noise from a trained network in one pass, of its own or of the denoiser with its LoRA."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.errors import nearest, require
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.networks.sources import PACKAGED, is_unpackaged, needs_model
from goldennoise.store.options import filled, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools
    from goldennoise.networks.network import GoldenNetwork


@dataclass(frozen=True)
class Config(MethodConfig):
    """Which network."""

    kind: str = "npnet"
    artifact: str = option("npnet/shapes@latest", filled('a reference such as "npnet/shapes@latest"'), identity=False)
    """A trained network, such as "npnet/shapes@latest", its folder, a hub id "owner/name", or "packaged/shapes", the
    one that comes with the shapes world."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Here, so that no stage before it begins in vain.
        known = ", ".join(PACKAGED)
        words = f"a trained network, or a packaged one of {known}{nearest(self.artifact, PACKAGED)}"
        require(not is_unpackaged(self.artifact), "artifact", self.artifact, words)

    def networks(self) -> tuple[str, ...]:
        return (self.artifact,)

    def golden_evaluations(self, sampling: Sampling) -> Amount:
        """A LoRA on the denoiser takes one; a network that does not exist may be one."""
        if self.artifact not in sampling.networks:
            return Amount(0, 1)
        return Amount.exactly(int(needs_model(sampling.networks[self.artifact])))


class NPNetMethod(Method):
    def __init__(self, network: "GoldenNetwork") -> None:
        self.network = network.eval().requires_grad_(False)

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        """Raises `ModelError` when the network was trained for another latent shape or text encoder."""
        return self.network.to(batch.source.device).predict(model, batch.source, batch.embedding)


def build(config: Config, tools: "MethodTools") -> NPNetMethod:
    """Raises `ArtifactError` when there is no such artifact, `ModelError` when it cannot be loaded or draws images."""
    from goldennoise.networks.checkpoint import load_npnet

    network = load_npnet(tools.artifact_folder("npnet", config.artifact))
    network.config.refuse_images()
    return NPNetMethod(network)
