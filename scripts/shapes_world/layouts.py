"""Does a layout in the initial noise help? Source noise moved towards images of the world, judged by the verifier.

`python scripts/shapes_world/layouts.py` samples benchmark captions from

    golden = |x| (x + strength * image) / |x + strength * image|,

`image` being the latents of a render less their mean over space, and prints what each choice of the image gains: a
render of the caption itself (which only the world's ground truth can give), of another caption (the control), and of
the training captions whose prompt embeddings lie nearest (five of each). "Resembling", and of the nearest: of several
the one with the largest cosine to the noise.

"Found": of the world's training images the one with the largest sum of its match with the prompt embedding (a network,
see `matcher.py`), its cosine to the prompt by the preference model and NOISE_WEIGHT cosines to the noise; and, as its
control, the one found for another caption. "Drawn": the packaged network's golden noise, which has a strength of its
own, and its control. Needs what `make world` leaves in outputs/shapes_world.

Measured once each and kept, so that a killed run goes on.
"""

import json
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import autoencoder
import matcher
import measure
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from goldennoise.data.prompts import Prompt
from goldennoise.data.shapes.captions import Caption, benchmark, captions
from goldennoise.data.shapes.renderer import render
from goldennoise.data.shapes.scenes import sample_scene
from goldennoise.diffusion import families
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.evaluation.statistics import compare
from goldennoise.generation.noise import noise_statistics
from goldennoise.networks.checkpoint import load_npnet
from goldennoise.runtime.seeding import derive_seed, gaussian_noise, prompt_id
from goldennoise.scorers.shapes_clip import ShapesClip

WORLD = Path("outputs/shapes_world")
FOLDER = WORLD / "layouts"
NUM_CAPTIONS = 240
NUM_SEEDS = 2
STRENGTH = 0.14
"""Of the image in units of the noise, chosen on validation captions; in training the last timestep has 0.07."""
NUM_RENDERS = 64
NUM_NEAREST = 8
RENDERS_PER_NEAREST = 5
NOISE_WEIGHT = 3.0
"""Chosen on validation captions, as the sum is."""
BATCH = 60

CONTROL = "a render of another caption"
FOUND, FOUND_FOR_ANOTHER = "found", "found for another caption"
DRAWN, DRAWN_FOR_ANOTHER = "drawn", "drawn for another caption"

CPU = torch.device("cpu")


class Samples:
    """The (caption, seed) grid: one noise (4, 16, 16) each."""

    def __init__(self) -> None:
        self.asked = benchmark(NUM_CAPTIONS)
        self.captions = [caption for caption in self.asked for _ in range(NUM_SEEDS)]
        self.texts = [caption.text for caption in self.captions]
        seeds = [derive_seed(0, "layouts", prompt_id(c.text), s) for c in self.asked for s in range(NUM_SEEDS)]
        self.noise = gaussian_noise((4, 16, 16), seeds)

    def moved(self, choose: Callable[[int, int], Tensor]) -> Tensor:
        """The noise moved towards `choose(caption, seed)`, its norm kept."""
        images = [choose(row, seed) for row in range(NUM_CAPTIONS) for seed in range(NUM_SEEDS)]
        moved = self.noise + STRENGTH * torch.stack(images)
        return moved * (self.noise.flatten(1).norm(dim=1) / moved.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)

    def resembling(self, images: Tensor, row: int, seed: int) -> Tensor:
        noise = self.noise[row * NUM_SEEDS + seed].flatten()
        return images[F.cosine_similarity(images.flatten(1), noise, dim=1).argmax()]


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    FOLDER.mkdir(parents=True, exist_ok=True)
    family = families.component("stable_diffusion")
    model = family.build(family.Config(num_steps=20, guidance=3.0), CPU)
    samples, vae = Samples(), model._pipe.vae

    @cache
    def own() -> list[Tensor]:
        return [_images(vae, [caption] * NUM_RENDERS, seed) for seed, caption in enumerate(samples.asked)]

    @cache
    def nearest(key: Callable[[Tensor], Tensor]) -> list[Tensor]:
        found = enumerate(_nearest(model, samples.asked, key))
        return [_images(vae, each * RENDERS_PER_NEAREST, NUM_CAPTIONS + seed) for seed, each in found]

    @cache
    def finder() -> "Finder":
        return Finder(model, samples)

    choices: dict[str, Callable[[int, int], Tensor]] = {
        "a render of the caption": lambda row, seed: own()[row][seed],
        "of 64 renders of the caption the resembling one": lambda row, seed: samples.resembling(own()[row], row, seed),
        CONTROL: lambda row, seed: own()[_other(row)][seed],
        "of renders of the 8 captions nearest by all tokens": lambda row, seed: samples.resembling(
            nearest(_all_tokens)[row], row, seed
        ),
        "of renders of the 8 captions nearest by the last token": lambda row, seed: samples.resembling(
            nearest(_last_token)[row], row, seed
        ),
        FOUND: lambda row, seed: finder().found(row, row, seed),
        FOUND_FOR_ANOTHER: lambda row, seed: finder().found(_other(row), row, seed),
    }
    figures = {"standard": _once("standard", model, samples, lambda: samples.noise)}
    for name, choose in choices.items():
        figures[name] = _once(name, model, samples, partial(samples.moved, choose))
    for name, texts in (
        (DRAWN, samples.texts),
        (DRAWN_FOR_ANOTHER, [samples.asked[_other(row)].text for row in range(NUM_CAPTIONS) for _ in range(NUM_SEEDS)]),
    ):
        figures[name] = _once(name, model, samples, partial(_drawn, model, samples.noise, texts))
    _print(figures, samples)


def _latents(model: DiffusionModel, pixels: np.ndarray) -> Tensor:
    """Those of all training images, encoded once."""
    file = WORLD / "latents.npy"
    if not file.exists():
        images = (torch.tensor(pixels[start : start + 100]) for start in range(0, len(pixels), 100))
        np.save(file, torch.cat([model.encode_images([*part.permute(0, 3, 1, 2) / 255]) for part in images]).numpy())
    return torch.from_numpy(np.load(file))


class Finder:
    """Layouts among the training images, for prompts that none of them was made for."""

    def __init__(self, model: DiffusionModel, samples: Samples) -> None:
        texts = json.loads((WORLD / "scenes.json").read_text())
        known = sorted(set(texts))
        rows = {text: row for row, text in enumerate(known)}
        pixels = np.load(WORLD / "scenes.npy", mmap_mode="r")
        latents = _latents(model, pixels)
        embeddings = _embeddings(model, known)
        with torch.enable_grad():
            network = matcher.train(embeddings, latents, torch.tensor([rows[text] for text in texts]), FOLDER)
        asked = [caption.text for caption in samples.asked]
        queries = network.text(network.normal(_embeddings(model, asked)))
        self.scores = queries @ torch.cat([network.image(part) for part in latents.split(1000)]).T
        clip = ShapesClip(CPU)
        for start in range(0, len(pixels), 1000):
            images = torch.tensor(pixels[start : start + 1000]).permute(0, 3, 1, 2) / 255
            self.scores[:, start : start + 1000] += clip._texts(asked) @ clip.embed(images).T
        self.images = latents - latents.mean(dim=(-2, -1), keepdim=True)
        self.directions = F.normalize(self.images.flatten(1), dim=1)
        self.samples = samples

    def found(self, asked: int, row: int, seed: int) -> Tensor:
        """The layout for caption `asked` and the noise of (`row`, `seed`)."""
        noise = F.normalize(self.samples.noise[row * NUM_SEEDS + seed].flatten(), dim=0)
        return self.images[(self.scores[asked] + NOISE_WEIGHT * (self.directions @ noise)).argmax()]


def _drawn(model: DiffusionModel, noise: Tensor, texts: list[str]) -> Tensor:
    return load_npnet("packaged/shapes")(noise, _embeddings(model, texts))


def _other(row: int) -> int:
    return (row + NUM_CAPTIONS // 2) % NUM_CAPTIONS


def _images(vae: torch.nn.Module, asked: list[Caption], seed: int) -> Tensor:
    """Latents (n, 4, 16, 16) of one render each, less their mean over space, which is mostly the background."""
    rng = np.random.default_rng([5, seed])
    latents = autoencoder.encode(vae, np.stack([render(sample_scene(caption, rng)) for caption in asked]))
    return latents - latents.mean(dim=(-2, -1), keepdim=True)


def _nearest(model: DiffusionModel, asked: list[Caption], key: Callable[[Tensor], Tensor]) -> list[list[Caption]]:
    """Of the training captions those whose keys have the largest cosines to the caption's."""
    known = captions("train")
    keys, queries = (key(_embeddings(model, [c.text for c in each])) for each in (known, asked))
    centre = keys.mean(dim=0)
    cosines = F.normalize(queries - centre, dim=1) @ F.normalize(keys - centre, dim=1).T
    return [[known[place] for place in row] for row in cosines.topk(NUM_NEAREST, dim=1).indices.tolist()]


def _embeddings(model: DiffusionModel, texts: list[str]) -> Tensor:
    return torch.cat([model.encode(texts[i : i + 500]).cond for i in range(0, len(texts), 500)])


def _all_tokens(embeddings: Tensor) -> Tensor:
    return embeddings.flatten(1)


def _last_token(embeddings: Tensor) -> Tensor:
    """What a CLIP text encoder takes for the whole prompt: it alone has seen every word."""
    return embeddings[:, -1]


def _once(name: str, model: DiffusionModel, samples: Samples, make: Callable[[], Tensor]) -> dict[str, list[float]]:
    """Per sample whether its image is right and its preference score, and the noise's own statistics."""
    file = FOLDER / f"{name.replace(' ', '_')}.json"
    if not file.exists():
        noise, right, scores, clip = make(), [], [], ShapesClip(CPU)
        for start in range(0, len(noise), BATCH):
            rows = slice(start, start + BATCH)
            images = model.decode(model.sample(SamplingPlan(noise[rows]), model.encode(samples.texts[rows])))
            right += measure._right(images, samples.captions[rows]).astype(float).tolist()
            scores += clip.score(images, list(map(Prompt.of, samples.texts[rows]))).tolist()
        statistics = {key: values.tolist() for key, values in noise_statistics(noise).items()}
        file.write_text(json.dumps({"right": right, "shapes_clip": scores} | statistics))
    return json.loads(file.read_text())


def _print(figures: dict[str, dict[str, list[float]]], samples: Samples) -> None:
    kinds = np.array([caption.kind for caption in samples.captions])
    columns = {name: np.array(found["right"]) * 100 for name, found in figures.items()}
    clip = {name: np.array(found["shapes_clip"]) for name, found in figures.items()}
    right = compare(columns, "standard", samples.texts, True, 10_000, 0)
    controlled = compare(columns, CONTROL, samples.texts, True, 10_000, 0)
    scores = compare(clip, "standard", samples.texts, True, 10_000, 0)
    for name, found in figures.items():
        a, b, c = right[name], scores[name], controlled[name]
        print(f"{name}: {a.mean:.1f} % right, {a.difference:+.1f} [{a.low:+.1f}, {a.high:+.1f}]", end="; ")
        print(f"{c.difference:+.1f} [{c.low:+.1f}, {c.high:+.1f}] to the control", end="; ")
        print(f"shapes_clip {b.difference:+.1f} [{b.low:+.1f}, {b.high:+.1f}]")
        print("   ", {str(kind): round(float(columns[name][kinds == kind].mean()), 1) for kind in dict.fromkeys(kinds)})
        extremes = {key: np.quantile(found[key], [0.025, 0.5, 0.975]).round(3).tolist() for key in list(found)[2:]}
        print("   ", extremes)
    for name, another in ((FOUND, FOUND_FOR_ANOTHER), (DRAWN, DRAWN_FOR_ANOTHER)):
        own = compare(columns, another, samples.texts, True, 10_000, 0)[name]
        print(f"{name} to {another}: {own.difference:+.1f} [{own.low:+.1f}, {own.high:+.1f}]")


if __name__ == "__main__":
    main()
