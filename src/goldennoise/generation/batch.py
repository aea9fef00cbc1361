"""Images of one method for samples of the (prompt, seed) grid, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import ModelError
from goldennoise.generation.cost import Cost, measure
from goldennoise.methods.base import Method
from goldennoise.methods.protocol import SampleBatch
from goldennoise.runtime.seeding import derive_seed


@dataclass(frozen=True)
class Sample:
    """One cell of the grid: a prompt and the index of its source noise."""

    prompt: Prompt
    seed: int


def grid(prompts: Sequence[Prompt], num_seeds: int) -> list[Sample]:
    """Every prompt with every seed index, the seeds of a prompt in a row."""
    return [Sample(prompt, seed) for prompt in prompts for seed in range(num_seeds)]


def source_noise(model: DiffusionModel, samples: Sequence[Sample], root_seed: int) -> Tensor:
    """The noise every method starts from, (len(samples), C, h, w), on the model's device in its dtype."""
    seeds = [derive_seed(root_seed, "evaluation", sample.prompt.id, sample.seed) for sample in samples]
    return model.initial_noise(seeds)


@dataclass(frozen=True)
class Generated:
    """A batch: pixels (B, 3, height, width), uint8 on the CPU; noise (B, C, h, w) they were sampled from; the cost.

    levels: of each row, that its method's schedule went through, see `diffusion.plan.Schedule.taken`; None where the
    model's own sampler was used.
    """

    pixels: Tensor
    noise: Tensor
    cost: Cost
    levels: list[tuple[float, ...]] | None = None


@torch.no_grad()
def generate(model: DiffusionModel, method: Method, samples: Sequence[Sample], root_seed: int) -> Generated:
    """The images of all samples, made as one batch, and the cost of all of them.

    The cost covers golden noise, sampling and decoding; prompts are encoded before, which every method needs alike.
    Raises ModelError if the model yields something that is no image.
    """
    prompts = [sample.prompt for sample in samples]
    embedding = model.encode([prompt.text for prompt in prompts])
    source = source_noise(model, samples, root_seed)
    batch = SampleBatch(prompts, [sample.seed for sample in samples], embedding, source, root_seed)
    with measure(model) as cost:
        plan = method.plan(model, batch)
        latents = model.sample(plan, embedding, batch.step_seeds)
        images = model.decode(latents)
    pixels = pixels_of(model, images, samples)
    levels = None if plan.schedule is None else plan.schedule.taken(len(samples))
    return Generated(pixels, plan.noise, cost, levels)


def pixels_of(model: DiffusionModel, images: Tensor, samples: Sequence[Sample]) -> Tensor:
    """Images (B, 3, height, width) as they are kept: uint8 on the CPU. Raises ModelError for what is no image."""
    for sample, image in zip(samples, images, strict=True):
        if not bool(image.isfinite().all()):
            raise ModelError(
                f'{model.name} gives pixels that are not finite for "{sample.prompt.text}" with seed {sample.seed}; '
                "run it in a wider number format, or leave out the method that changed its noise"
            )
    return (images.clamp(0, 1) * 255).round().to("cpu", torch.uint8)


@torch.no_grad()
def warm_up(model: DiffusionModel, samples: Sequence[Sample], root_seed: int) -> None:
    """Run one short pass, so that what a device sets up once is not counted as the first method's time."""
    embedding = model.encode([sample.prompt.text for sample in samples])
    source = source_noise(model, samples, root_seed)
    plan = SamplingPlan(source, num_steps=1)
    model.decode(model.sample(plan, embedding, [sample.seed for sample in samples]))
