"""The models that checks sample from, and what they sample."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_flows import FLOWS
from tiny_transformers import TRANSFORMERS
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion import families
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.methods.protocol import SampleBatch
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a green ring"]
STEPS = 3
TINY: dict[str, Callable[..., Any]] = {
    "stable_diffusion": tiny_pipeline,
    "stable_diffusion_xl": tiny_xl_pipeline,
    **TRANSFORMERS,
    **FLOWS,
}
"""Family -> a pipeline of random weights."""
SHAPES = "shapes"


def pipeline(family: str, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
    pipe = TINY[family]().to(device)
    return pipe if dtype == torch.float32 else pipe.to(dtype)


def model_of(family: str, device: torch.device, dtype: str = "float32") -> Any:
    """The shapes world, or a family with random weights."""
    if family != SHAPES:
        return from_pipeline(pipeline(family, device, getattr(torch, dtype)))
    module = families.component("stable_diffusion")
    config = module.Config(path=SHAPES, guidance=3.0, num_steps=20, dtype=dtype, negative_prompt="")
    return module.build(config, device)


def some_noise(model: Any, num: int = len(PROMPTS)) -> Tensor:
    return gaussian_noise(model.latent_shape, range(num)).to(model.device, model.dtype)


@torch.no_grad()
def sampled(model: Any, num_steps: int = STEPS, num: int = len(PROMPTS)) -> tuple[Tensor, Tensor]:
    """Latents and images of the prompts, on the CPU in float32."""
    plan = SamplingPlan(some_noise(model, num), num_steps=num_steps)
    latents = model.sample(plan, model.encode(PROMPTS[:num]), range(num))
    return latents.float().cpu(), model.decode(latents).float().cpu()


def batch_of(model: Any) -> SampleBatch:
    prompts = [Prompt.of(text) for text in PROMPTS]
    with torch.no_grad():
        batch = SampleBatch(prompts, [0, 1, 2], model.encode(PROMPTS), some_noise(model), root_seed=5)
    return replace(batch, source=model.initial_noise(batch.derived_seeds("evaluation")))
