"""Noise whose images score higher: ascends a differentiable scorer and takes no notice of golden noise."""

from typing import TYPE_CHECKING

from goldennoise.data.prompts import Prompt
from goldennoise.methods.gradient import clipped
from goldennoise.runtime.seeding import derive_seed
from goldennoise.scorers.protocol import Scorer
from goldennoise.training.objectives.base import NoiseObjective, squared_distance

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.training.engine.data import PairBatch
    from goldennoise.training.engine.options import TrainingOptions


class Loss(NoiseObjective):
    """Minus the weighted score of the image, plus the squared distance from the source noise (arXiv 2508.09968, eq. 9).

    The distance is what the divergence of the noise from N(0, I) comes to for small changes. It is a mean over
    dimensions, so that the weight does not depend on the size of the latents.
    """

    sentence = "Half the mean squared distance from the source noise, minus the weighted score of the image"
    outputs = ("noise", "layouts")
    own_options = ("reward_scorer", "reward_steps", "reward_weight", "reward_clip")
    scorer_option = "reward_scorer"
    needs_model = True
    # Scorers resize images.
    is_deterministic = False

    def __init__(
        self, options: "TrainingOptions", model: "DiffusionModel | None" = None, scorer: Scorer | None = None
    ) -> None:
        # The stage reads what an objective needs before torch is loaded.
        from goldennoise.methods.search.selector import Selector

        super().__init__(options, model)
        assert scorer is not None, "the stage builds it"
        self.selector = Selector(scorer)

    def drawn(self, batch: "PairBatch", seed: int, step: int) -> "PairBatch":
        """Other draws of a stochastic sampler at every step, so that none is learnt by heart."""
        return batch._replace(
            step_seeds=[derive_seed(seed, "steps", str(step), place) for place in batch.places.tolist()]
        )

    def losses(self, predicted: "Tensor", batch: "PairBatch") -> "Tensor":
        scores = self._scores(predicted, batch)
        return 0.5 * squared_distance(predicted, batch.source) - self.options.reward_weight * scores

    def _scores(self, predicted: "Tensor", batch: "PairBatch") -> "Tensor":
        """(B,) with gradients no longer than `reward_clip`."""
        import torch

        assert self.model is not None, "every process has it"
        with torch.no_grad():
            embedding = self.model.encode(batch.prompts)
        prompts = [Prompt.of(text) for text in batch.prompts]
        leaf = predicted.detach().requires_grad_(torch.is_grad_enabled())
        steps = (self.options.reward_steps, None, batch.step_seeds)
        scores = self.selector.through(self.model, leaf, embedding, prompts, *steps).float()
        if not torch.is_grad_enabled():
            return scores
        (gradient,) = torch.autograd.grad(scores.sum(), leaf)
        along = clipped(gradient, self.options.reward_clip) * (predicted - leaf.detach())
        # Zero, with the clipped gradient.
        return scores.detach() + along.float().flatten(1).sum(1)
