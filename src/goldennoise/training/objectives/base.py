"""What every objective is."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from goldennoise.scorers.protocol import Scorer

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.networks.network import GoldenNetwork
    from goldennoise.training.engine.data import PairBatch
    from goldennoise.training.engine.options import TrainingOptions


class Objective(ABC):
    """A loss for every pair of a batch, what it needs, and its words for the report."""

    label: ClassVar[str] = "loss"
    """What an axis of the report calls it."""
    sentence: ClassVar[str] = "The loss of its objective"
    """What it is, as the report says it."""
    outputs: ClassVar[tuple[str, ...]] = ("noise",)
    """What networks draw that learn by it: `output` of their architectures."""
    own_options: ClassVar[tuple[str, ...]] = ()
    """Options of the stage that no other objective takes notice of."""
    scorer_option: ClassVar[str | None] = None
    """The one of them that names the differentiable scorer it ascends."""
    needs_gains: ClassVar[bool] = False
    """Whether its pairs must have been collected with a preference."""
    needs_model: ClassVar[bool] = False
    """Whether every process needs the text-to-image model; without it the first one alone has it."""
    is_deterministic: ClassVar[bool] = True
    """Whether all its gradients have kernels on a GPU whose order of summing is fixed."""
    group_size: ClassVar[int] = 1
    """Pairs of prompts that are alike which come together in a batch, one after the other; 1 for pairs on their own."""

    def __init__(
        self,
        options: "TrainingOptions",
        model: "DiffusionModel | None" = None,
        scorer: Scorer | None = None,  # noqa: ARG002
    ) -> None:
        """model, scorer: not None for an objective that needs them; the model too for a network that needs it."""
        self.options = options
        self.model = model

    def drawn(self, batch: "PairBatch", seed: int, step: int) -> "PairBatch":  # noqa: ARG002
        """The batch with what an optimiser step draws at random, by (seed, step, place in the global batch) alone."""
        return batch

    @abstractmethod
    def pair_losses(self, network: "GoldenNetwork", batch: "PairBatch", done: float) -> "Tensor":
        """(B,) the loss of each pair, fp32. done: share of the training that is over, 1 in validation."""

    @abstractmethod
    def source_losses(self, network: "GoldenNetwork", batch: "PairBatch") -> "Tensor":
        """(B,) the losses in validation of a network that returns the source noise."""


class NoiseObjective(Objective):
    """An objective of the predicted noise alone."""

    @abstractmethod
    def losses(self, predicted: "Tensor", batch: "PairBatch") -> "Tensor":
        """(B,) losses, fp32, of predicted noise (B, C, h, w) for `batch.source`."""

    def pair_losses(self, network: "GoldenNetwork", batch: "PairBatch", done: float) -> "Tensor":  # noqa: ARG002
        if not network.config.architecture.needs_model:
            return self.losses(network(batch.source, batch.prompt_embeds, *batch.frozen), batch)
        import torch

        assert self.model is not None, "every process has it"
        with torch.no_grad():
            embedding = self.model.encode(batch.prompts)
        return self.losses(network.predict(self.model, batch.source, embedding), batch)

    def source_losses(self, network: "GoldenNetwork", batch: "PairBatch") -> "Tensor":  # noqa: ARG002
        return self.losses(batch.source, batch)


def squared_distance(predicted: "Tensor", target: "Tensor") -> "Tensor":
    """(B,) mean over dimensions, fp32, of noises (B, C, h, w)."""
    return (predicted.float() - target).square().flatten(1).mean(1)
