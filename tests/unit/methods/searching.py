"""What the tests of searching methods share: samples on the model in closed form, and a scorer of their images."""

from collections.abc import Sequence
from dataclasses import dataclass

from tiny import TinyModel, as_prompts
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.methods.protocol import SampleBatch
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a star"]


@dataclass
class Greenness:
    """Mean of the green channel in per cent: a stand-in that depends on the image alone."""

    name: str = "greenness"
    version: str = "1"
    unit: str = ""
    higher_is_better: bool = True
    differentiable: bool = True
    may_select: bool = True

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
        return 100 * images[:, 1].mean((1, 2))


def make_batch() -> SampleBatch:
    """Three prompts, with seeds 0, 1 and 2."""
    model = TinyModel()
    return SampleBatch(
        as_prompts(PROMPTS), [0, 1, 2], model.encode(PROMPTS), gaussian_noise(model.latent_shape, [1, 2, 3])
    )


def scores(noise: Tensor, batch: SampleBatch) -> Tensor:
    """Greenness (B,) of what the model makes of `noise`."""
    model = TinyModel()
    return Greenness().score(model.decode(model.sample(SamplingPlan(noise), batch.embedding)), batch.prompts)
