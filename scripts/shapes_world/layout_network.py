"""Trains the packaged network that draws layouts: `python scripts/shapes_world/layout_network.py`.

It learns from captioned images alone, of which the world can render any number for the captions of its training split:
no sampling, no scorer. Its loss is the negative log-likelihood of an image's layout given its caption, and a contrast:
in a group of captions with the same words in other roles, which one is the image of? The likelihood alone learns for
long no more than what stands in an image; the contrast teaches where, and fades, since it spoils the likelihood.

About 25 minutes on two cores, with rendering and encoding; a killed run goes on where it was.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import autoencoder
import numpy as np
import torch
import torch.nn.functional as F
from loop import Recipe, fit
from scene_data import training_scenes
from torch import Tensor

from goldennoise.diffusion import stable_diffusion
from goldennoise.diffusion.identity import model_identity
from goldennoise.npnet.checkpoint import PACKAGED, save_npnet
from goldennoise.npnet.config import LayoutNPNetConfig
from goldennoise.npnet.layouts import LayoutNPNet, seeded_layout_npnet

FOLDER = Path("outputs/shapes_world/layout_network")
NUM_SCENES = 120_000
NUM_GROUPS, GROUP_SIZE = 24, 12
RECIPE = Recipe(
    num_steps=3000, batch_size=NUM_GROUPS * GROUP_SIZE, learning_rate=1e-3, weight_decay=0.05, ema_decay=0.995
)
NUM_LOOK_ALIKES = 48
"""Captions of the nearest mean tokens, which hold the words and not their order: a group is drawn from them."""
CONTRAST_FROM, CONTRAST_TO, CONTRAST_FADES = 40.0, 2.0, 0.8
"""What a nat of the contrast is worth against the log-likelihood, first and last, and the share of steps between."""
VARIANCE = 10.0
"""Of the mixture's Gaussians. The latents' own, below 1, would leave every image to one layout from the start."""
LATENT_NOISE = 0.2


def main() -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = stable_diffusion.Config(num_steps=20, guidance=3.0)
    model = stable_diffusion.build(config, torch.device("cpu"))
    layouts, texts = _layouts(model._pipe.vae)
    known = sorted(set(texts))
    rows = {text: row for row, text in enumerate(known)}
    embeddings = torch.cat([model.encode(known[i : i + 500]).cond for i in range(0, len(known), 500)])
    network = train(embeddings, layouts, torch.tensor([rows[text] for text in texts]))
    record = {
        "model": model_identity(config),
        "data": "renders of the training captions",
        "pairs": len(texts),
        "prompts": len(known),
        "prompt_set": "shapes, train",
        "teacher": "the layout of an image of the prompt",
        "objective": "likelihood and contrast of layouts",
        "command": "python scripts/shapes_world/layout_network.py",
        "recipe": asdict(RECIPE),
        "selected_by": [],
    }
    save_npnet(network, PACKAGED["packaged/shapes"], record)


def train(embeddings: Tensor, layouts: Tensor, caption_of: Tensor) -> LayoutNPNet:
    """A network in evaluation mode.

    embeddings: (captions, tokens, dim). layouts: (images, 4, 16, 16). caption_of: (images,) rows of `embeddings`,
    every one of which has an image.
    """
    channels, height, width = layouts.shape[1:]
    _, num_tokens, text_dim = embeddings.shape
    network = seeded_layout_npnet(LayoutNPNetConfig((channels, height, width), num_tokens, text_dim), RECIPE.seed)
    network.fit_inputs(embeddings, layouts)
    targets, num_axes = layouts.flatten(1) @ network.basis.T, layouts[0].numel()
    look_alikes = _look_alikes(embeddings)
    images = caption_of.argsort()
    first = torch.searchsorted(caption_of[images], torch.arange(len(embeddings) + 1))
    counts = first[1:] - first[:-1]

    def loss_of(step: int, generator: torch.Generator) -> Tensor:
        anchors = torch.multinomial(counts.float(), NUM_GROUPS, generator=generator)
        others = torch.randperm(NUM_LOOK_ALIKES - 1, generator=generator)[: GROUP_SIZE - 1] + 1
        captions = torch.cat([anchors[:, None], look_alikes[anchors][:, others]], dim=1)
        drawn = torch.rand(captions.shape, generator=generator) * counts[captions]
        chosen = targets[images[first[captions] + drawn.long()]]
        chosen = chosen + LATENT_NOISE * torch.randn(chosen.shape, generator=generator)
        log_likelihoods = _log_likelihoods(network, chosen, embeddings[captions])
        own = log_likelihoods.diagonal(dim1=1, dim2=2)
        contrast = (log_likelihoods.logsumexp(dim=2) - own).mean()
        faded = min(1.0, step / (CONTRAST_FADES * RECIPE.num_steps))
        weight = CONTRAST_FROM + (CONTRAST_TO - CONTRAST_FROM) * faded
        return (weight * contrast - 2 * VARIANCE * own.mean()) / num_axes

    fit("layout_network", network, RECIPE, loss_of, FOLDER)
    return network


def _log_likelihoods(network: LayoutNPNet, images: Tensor, embeddings: Tensor) -> Tensor:
    """(groups, images, captions) log-likelihood of every image of a group given each of its captions, up to a constant.

    images: (groups, size, rank). embeddings: (groups, size, tokens, dim).
    """
    num, size = images.shape[:2]
    with torch.autocast("cpu", torch.bfloat16):
        coefficients, log_weights = network.mixture(embeddings.flatten(0, 1))
        means = coefficients.view(num, -1, images.shape[2])
        products = images @ means.transpose(1, 2)
    squares = images.square().sum(2)[:, :, None] + means.float().square().sum(2)[:, None] - 2 * products.float()
    squares = squares.view(num, size, size, -1)
    return torch.logsumexp(log_weights.float().view(num, 1, size, -1) - squares / (2 * VARIANCE), dim=3)


def _layouts(vae: torch.nn.Module) -> tuple[Tensor, list[str]]:
    """Latents (n, 4, 16, 16) of the images less their mean over space, mostly the background; the images' captions."""
    file = FOLDER / "latents.npy"
    if not file.exists():
        np.save(file, autoencoder.encode(vae, training_scenes(NUM_SCENES, FOLDER)[0]).numpy())
    latents = torch.from_numpy(np.load(file))
    return latents - latents.mean(dim=(-2, -1), keepdim=True), json.loads((FOLDER / "scenes.json").read_text())


def _look_alikes(embeddings: Tensor) -> Tensor:
    """(captions, NUM_LOOK_ALIKES) rows of the captions with the nearest mean tokens, each first its own."""
    means = embeddings.mean(dim=1)
    means = F.normalize(means - means.mean(dim=0), dim=1)
    return torch.cat([(rows @ means.T).topk(NUM_LOOK_ALIKES, dim=1).indices for rows in means.split(1000)])


if __name__ == "__main__":
    main()
