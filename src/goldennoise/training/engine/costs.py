"""What training a network takes, told from its options before anything loads."""

from dataclasses import dataclass
from typing import Any

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.networks.base import IMAGES
from goldennoise.training.engine.options import TrainingOptions, num_held_out
from goldennoise.training.objectives.base import Objective


@dataclass(frozen=True)
class Course:
    """What is trained and how. sampling: by the model. loss: of the objective."""

    options: TrainingOptions
    loss: type[Objective]
    architecture: Any
    sampling: Sampling

    def costs(self, pairs: Amount, num_seeds: int) -> dict[str, Amount]:
        """Pairs to learn from and to validate on, steps, passes of the network, evaluations of the model, by name.

        pairs: that are chosen, `num_seeds` of each prompt; their number may not be known before the filter.
        """
        assert pairs.most is not None, "no more are chosen than are collected"
        least, most = (self._of(num, num_seeds) for num in (pairs.least, pairs.most))
        return {name: Amount(num, most[name]) for name, num in least.items()}

    def _of(self, num_pairs: int, num_seeds: int) -> dict[str, int]:
        options, num_prompts = self.options, num_pairs // num_seeds
        held_out = num_held_out(num_prompts, options.validation_share) if num_prompts > 1 else 0
        validation = held_out * num_seeds
        training, epochs, group = num_pairs - validation, options.num_epochs, self.loss.group_size
        evaluations = self._of_samples(held_out)
        if "reward_steps" in self.loss.own_options:
            # On the way back every step is computed again. The source noise is scored once, too.
            an_image = self.sampling.steps(options.reward_steps).least
            evaluations += an_image * (epochs * (2 * training + validation) + validation)
        if self.architecture.needs_model:
            evaluations += 1 + epochs * num_pairs  # the first finds the layers to adapt
        return {
            "training": training,
            "validation": validation,
            "steps": epochs * -(-(training // group) // max(1, options.batch_size // group)),
            "passes": epochs * num_pairs,
            "evaluations": evaluations,
        }

    def _of_samples(self, num_prompts: int) -> int:
        """Of the sample images: those of the source noise once, those of the network every so many epochs."""
        num, every = min(self.options.num_samples, num_prompts), self.options.sample_every_epochs
        if not every or self.architecture.output == IMAGES:
            return 0
        times = -(-self.options.num_epochs // every)
        return num * ((1 + times) * self.sampling.image().least + times * int(self.architecture.needs_model))
