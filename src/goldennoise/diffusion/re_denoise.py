"""Re-denoise sampling (arXiv 2411.09502, section 3.1): down under strong guidance, back up under weak guidance."""

from torch import Tensor

from goldennoise.diffusion.protocol import DiffusionModel, PromptEmbedding
from goldennoise.diffusion.schedules.ddim import at_least_float32
from goldennoise.errors import ModelError, require

SHIFT = {"exact": 0, "published": 1}
"""Variant -> by how many positions the way up is displaced from the way down."""


def re_denoise(
    model: DiffusionModel,
    noise: Tensor,
    embedding: PromptEmbedding,
    *,
    denoise_guidance: float,
    invert_guidance: float,
    num_steps: int,
    num_rounds: int = 1,
    depth: int = 1,
    variant: str = "exact",
) -> Tensor:
    """Golden noise for `noise` (B, C, h, w) of unit scale, same shape and dtype.

    A round goes from position 0 of the schedule of `num_steps` down to position `depth`, then back up through the same
    intervals. The interval between positions i and i + 1 is crossed with a prediction at position i in both
    directions: down of the latents of position i, up of those of position i + 1. With equal guidance and a prediction
    that depends on the position alone, a round is the identity.

    variant: "published" inverts every interval with the noise levels of the next one, (i + 1, i + 2) for (i, i + 1), as
    the code beside the paper does; for reproduction only. It needs depth < num_steps.
    Raises `ConfigError` for numbers out of range, `ModelError` for "published" with a model that predicts the image at
    position 0, pure noise: other intervals do not follow from that prediction.
    """
    require(variant in SHIFT, "variant", variant, f"one of {', '.join(SHIFT)}")
    require(num_steps >= 1, "num_steps", num_steps, "at least 1")
    require(num_rounds >= 1, "num_rounds", num_rounds, "at least 1")
    shift = SHIFT[variant]
    deepest = num_steps - shift
    require(1 <= depth <= deepest, "depth", depth, f"from 1 to {deepest} for num_steps={num_steps}, variant={variant}")
    if shift and model.predicts_image(0, num_steps):
        raise ModelError(
            f"variant={variant}: {model.name} starts from pure noise, where what it predicts holds for the first "
            "interval alone, and this variant inverts the next one with it: take variant=exact."
        )
    # What a round changes is small: rounding in half precision at every step would be of its order.
    latents = noise.to(at_least_float32(noise.dtype))
    for _ in range(num_rounds):
        for position in range(depth):
            prediction = model.predict(latents, position, embedding, denoise_guidance, num_steps)
            latents = model.move(latents, prediction, position, position + 1, num_steps)
        for position in reversed(range(depth)):
            prediction = model.predict(latents, position, embedding, invert_guidance, num_steps)
            latents = model.move(latents, prediction, position + 1 + shift, position + shift, num_steps)
    return latents.to(noise.dtype)
