"""The images of collected pairs, sampled again from their noise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from goldennoise.data.pairs import PairReader
from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.methods.protocol import SampleBatch
from goldennoise.runtime.progress import Progress
from goldennoise.store.files import whole

SIDES = ("source", "golden")


def image_file(folder: Path, row: int, side: str) -> Path:
    """row: position of the pair in the index. side: one of `SIDES`."""
    return folder / "images" / f"{row:06d}-{side}.png"


@torch.no_grad()
def write_images(
    folder: Path, model: DiffusionModel, pairs: PairReader, rows: Sequence[int], root_seed: int, batch_size: int
) -> None:
    """Both images of every pair in `rows` that `folder` lacks. root_seed: of the run that collected the pairs."""
    missing = [row for row in rows if not all(image_file(folder, row, side).is_file() for side in SIDES)]
    with Progress("browse", len(rows), "pairs", len(rows) - len(missing)) as progress:
        for start in range(0, len(missing), batch_size):
            chosen = missing[start : start + batch_size]
            of_both = _sampled(model, pairs, chosen, root_seed)
            for side, images in zip(SIDES, of_both, strict=True):
                for row, image in zip(chosen, images, strict=True):
                    with whole(image_file(folder, row, side)) as beside:
                        Image.fromarray(image).save(beside, format="PNG")
            progress.update(len(chosen))


def _sampled(model: DiffusionModel, pairs: PairReader, rows: Sequence[int], root_seed: int) -> list[np.ndarray]:
    """Pixels (B, height, width, 3) from the source noise, and those from the golden noise."""
    index = pairs.index.iloc[list(rows)]
    told = zip(index["prompt"], index["prompt_id"], index["category"], strict=True)
    prompts = [Prompt(text, prompt_id, category) for text, prompt_id, category in told]
    embedding = model.encode([prompt.text for prompt in prompts])
    found = []
    for noise in pairs.noise(np.array(rows)):
        own = noise.to(model.device, model.dtype)
        batch = SampleBatch(prompts, index["seed"].tolist(), embedding, own, root_seed)
        images = model.decode(model.sample(SamplingPlan(own), embedding, batch.step_seeds))
        pixels = (images.clamp(0, 1) * 255).round().to("cpu", torch.uint8)
        found.append(pixels.permute(0, 2, 3, 1).numpy())
    return found
