"""Training a network of One More Step: the velocity at pure noise is minus the image (arXiv 2311.15744)."""

from typing import TYPE_CHECKING

from goldennoise.networks.base import IMAGES
from goldennoise.runtime.seeding import derive_seed, gaussian_noise
from goldennoise.scorers.protocol import Scorer
from goldennoise.training.objectives.base import Objective, squared_distance

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.networks.network import GoldenNetwork
    from goldennoise.training.engine.data import PairBatch
    from goldennoise.training.engine.options import TrainingOptions

PROMPTS_LEFT_OUT = 0.1
"""Share of the prompts in training that are the empty one, so that the network can be guided (arXiv 2207.12598)."""


class Loss(Objective):
    """Mean of (v(e, c) + x_0)^2 over dimensions; x_0: golden minus source noise, latents of an image of the prompt c.

    e is noise that has nothing to do with x_0, so the best prediction is the mean of x_0 given c, whatever e. Every
    training step draws its e; in validation e is the source noise.
    """

    label = "mean squared error"
    sentence = "Mean squared error to the image of the pairs, golden minus source noise"
    outputs = (IMAGES,)
    needs_model = True

    def __init__(
        self, options: "TrainingOptions", model: "DiffusionModel | None" = None, scorer: Scorer | None = None
    ) -> None:
        import torch

        super().__init__(options, model, scorer)
        assert model is not None, "every process has it"
        with torch.no_grad():
            self.no_prompt = model.encode([""]).uncond.float()

    def drawn(self, batch: "PairBatch", seed: int, step: int) -> "PairBatch":
        """The same images with other noise, and some without their prompts."""
        import torch

        seeds = [derive_seed(seed, "one more step", str(step), place) for place in batch.places.tolist()]
        noise = gaussian_noise(batch.source.shape[1:], seeds).to(batch.source)
        generator = torch.Generator().manual_seed(derive_seed(seed, "prompts left out", "", step))
        left_out = (torch.rand(batch.num_global, generator=generator) < PROMPTS_LEFT_OUT)[batch.places]
        without = left_out.to(noise.device)[:, None, None]
        embeds = torch.where(without, self.no_prompt.to(batch.prompt_embeds), batch.prompt_embeds)
        return batch._replace(source=noise, golden=noise + batch.golden - batch.source, prompt_embeds=embeds)

    def pair_losses(self, network: "GoldenNetwork", batch: "PairBatch", done: float) -> "Tensor":  # noqa: ARG002
        """network: one that predicts images."""
        return squared_distance(network(batch.source, batch.prompt_embeds), batch.golden - batch.source)

    def source_losses(self, network: "GoldenNetwork", batch: "PairBatch") -> "Tensor":  # noqa: ARG002
        """Of an image without anything in it, which leaves the source as it is but for its scale."""
        return squared_distance(batch.golden - batch.source, batch.source.new_zeros(()))
