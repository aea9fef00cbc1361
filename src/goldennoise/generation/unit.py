"""One part of the grid: sample, keep the images, score what is kept."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.generation.batch import generate
from goldennoise.generation.cost import Cost
from goldennoise.generation.noise import noise_statistics
from goldennoise.generation.thumbnails import thumbnails
from goldennoise.generation.units import (
    COST_COLUMNS,
    EMBEDDING,
    NOISE_PREFIX,
    PREFIX,
    THUMBNAIL,
    Part,
    write_images,
    write_table,
)
from goldennoise.methods.base import Method
from goldennoise.scorers.batch import score_batch
from goldennoise.scorers.protocol import Embedder, Scorer


def evaluate_part(
    folder: Path,
    part: Part,
    model: DiffusionModel,
    method: Method,
    scorers: Mapping[str, Scorer],
    root_seed: int,
    batch_size: int,
    progress: Callable[[int], None],
    fingerprint: str = "",
) -> None:
    """Write the part's images and table. `progress` is told how many images each batch has added.

    fingerprint: of the artifact, which the images' metadata name beside the model and the root seed.
    Scorers see the images as they are kept, in 8 bits, so anybody can score an artifact's images again.
    """
    measured = []
    origin = {"model": model.name, "root_seed": str(root_seed), "fingerprint": fingerprint}
    named = embedder_of(scorers)
    embedder = named[1] if named else None
    for start in range(0, len(part.samples), batch_size):
        samples = part.samples[start : start + batch_size]
        made = generate(model, method, samples, root_seed)
        write_images(folder, part, start, made.pixels.permute(0, 2, 3, 1).numpy(), origin)
        images = made.pixels.float() / 255
        columns = {NOISE_PREFIX + name: values.numpy() for name, values in noise_statistics(made.noise).items()}
        prompts = [sample.prompt.text for sample in samples]
        called = [f'"{sample.prompt.text}" with seed {sample.seed}' for sample in samples]
        columns |= {PREFIX + name: values for name, values in score_batch(scorers, images, prompts, called).items()}
        found = pd.concat([_shares(made.cost, len(samples)), pd.DataFrame(columns)], axis=1)
        found[THUMBNAIL] = list(thumbnails(images).numpy())
        if embedder is not None:
            found[EMBEDDING] = list(embedder.embed(images).numpy())
        measured.append(found)
        progress(len(samples))
    write_table(folder, part, pd.concat(measured))


def embedder_of(scorers: Mapping[str, Scorer]) -> tuple[str, Embedder] | None:
    """The scorer by whose image embedding diversity is measured too, the first by name; None if there is none."""
    return next(((name, scorer) for name, scorer in sorted(scorers.items()) if isinstance(scorer, Embedder)), None)


def _shares(cost: Cost, num_samples: int) -> pd.DataFrame:
    row = (cost.num_evaluations / num_samples, cost.seconds / num_samples, cost.peak_memory_bytes, cost.memory)
    table = pd.DataFrame([row] * num_samples, columns=COST_COLUMNS)
    return table.astype({"peak_memory_bytes": "Int64"})
