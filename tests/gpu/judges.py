"""Checks of networks and scorers: a device against the CPU."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from gpu.models import PROMPTS
from gpu.place import CPU, Found, Place, add, deviation
from torch import Tensor
from unit.networks import small_npnet
from unit.scorers import tiny_weights
from unit.scorers.geneval import tiny_networks

from goldennoise import load_npnet, scorers
from goldennoise.data.prompts import Prompt
from goldennoise.networks.npnet import Config, NetworkConfig
from goldennoise.networks.npnet.network import NPNet, build
from goldennoise.networks.npnet.singular_values import SvdFactors, svd_factors
from goldennoise.runtime.seeding import gaussian_noise
from goldennoise.scorers import shapes_clip, shapes_tone, shapes_verifier, weighted_sum

SDXL = ((4, 128, 128), 77, 2048)
"""Latents, tokens and width of the text of SDXL."""


def some_images(num: int = 3, side_px: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(side_px)
    slope = torch.linspace(0, 1, side_px).expand(num, 3, side_px, side_px)
    return (0.6 * slope * torch.rand(num, 3, 1, 1, generator=generator) + 0.4 * slope.mT).clamp(0, 1)


@torch.no_grad()
def npnet(place: Place, make: Callable[[], NPNet], dtype: torch.dtype = torch.float32) -> Found:
    """Golden noise of a network away from its start."""
    found = []
    for device in (CPU, place.device):
        network: Any = make().eval().to(device)
        config = network.config
        noise = gaussian_noise(config.latent_shape, range(2)).to(device, dtype)
        text = gaussian_noise((config.num_tokens, config.text_dim), range(2, 4)).to(device, dtype)
        found.append(network(noise, text))
    return Found(deviation(found[1], found[0]))


def full_size() -> NPNet:
    network = build(NetworkConfig(*SDXL, Config()), seed=0)
    with torch.no_grad():
        network.alpha.fill_(0.9)
        assert network.beta is not None
        network.beta.fill_(0.7)
    return network


def factors_of(place: Place, latent_shape: tuple[int, int, int]) -> tuple[SvdFactors, SvdFactors]:
    noise = gaussian_noise(latent_shape, range(2))
    config = NetworkConfig(latent_shape, 1, 1, Config(svd_attention=False))
    here, there = (svd_factors(noise.to(device), config) for device in (CPU, place.device))
    return here, SvdFactors(*(part.cpu() for part in there))


def singular_values(place: Place, latent_shape: tuple[int, int, int]) -> Found:
    here, there = factors_of(place, latent_shape)
    return Found(deviation(there.s, here.s))


def signs(place: Place, latent_shape: tuple[int, int, int]) -> Found:
    """The share of singular vectors, left and right, that point the other way."""
    here, there = factors_of(place, latent_shape)
    left, right = (here.u * there.u).sum(dim=1), (here.vh * there.vh).sum(dim=2)
    return Found(
        float(torch.cat([left < 0, right < 0]).double().mean()),
        f"the least alike of {left.numel()} pairs of left vectors have the cosine {float(left.min()):.6f}",
    )


def scored(place: Place, kind: str, config: Any) -> Found:
    images, prompts = some_images(), [Prompt.of(text) for text in PROMPTS]
    found = []
    for device in (CPU, place.device):
        scorer = scorers.component(kind).build(config, device)
        with torch.no_grad():
            scores = scorer.score(images.to(device), prompts)
        assert scores.device == CPU, scores.device
        parts = [scores]
        if hasattr(scorer, "embed"):
            with torch.no_grad():
                parts.append(scorer.embed(images.to(device)).flatten())
            assert parts[1].device == CPU, parts[1].device
        found.append(parts)
    return Found(max(deviation(there, here) for here, there in zip(*found, strict=True)))


def with_random_weights(place: Place, kind: str, dtype: str = "float32") -> Found:
    """A scorer of the published architecture, tiny and random."""
    with pytest.MonkeyPatch.context() as patch:
        tiny_weights.shrink(patch, place.folder)
        return scored(place, kind, replace(tiny_weights.WRITERS[kind](place.folder), dtype=dtype))


def gradients(place: Place) -> Found:
    """Of a score with respect to the images."""
    found = []
    for device in (CPU, place.device):
        images = some_images().to(device).requires_grad_()
        scorer = shapes_clip.build(shapes_clip.Config(), device)
        scorer.score(images, [Prompt.of(text) for text in PROMPTS]).sum().backward()
        assert images.grad is not None
        found.append(images.grad)
    return Found(deviation(found[1], found[0]))


def geneval_networks(place: Place) -> Found:
    """The detector's masks and the colours, of tiny random networks."""
    from goldennoise.scorers.geneval.detector import Detector

    tiny_networks.save_detector(place.folder)
    image = some_images(1)[0]
    here, there = (Detector(str(place.folder), device) for device in (CPU, place.device))
    found = [[each.confidence for each in detector.detect(image, 0.0)] for detector in (here, there)]
    assert len(found[0]) == len(found[1]), found
    return Found(deviation(torch.tensor(found[1]), torch.tensor(found[0])), f"{len(found[0])} detections")


SCORERS: dict[str, tuple[str, Any]] = {
    "shapes_clip": ("shapes_clip", shapes_clip.Config()),
    "shapes_tone": ("shapes_tone", shapes_tone.Config()),
    "shapes_verifier": ("shapes_verifier", shapes_verifier.Config()),
    "weighted_sum": ("weighted_sum", weighted_sum.Config(parts={"shapes_clip": 0.5})),
    "shapes_verifier_soft": ("shapes_verifier", shapes_verifier.Config(soft=True)),
}


def register() -> None:
    add("singular values, 4 x 128 x 128", singular_values, 1e-4, latent_shape=SDXL[0])
    for shape in ((4, 8, 8), (4, 64, 64), SDXL[0], (16, 128, 128)):
        add(f"signs of singular vectors, {' x '.join(map(str, shape))}", signs, 0.0, latent_shape=shape)
    add("NPNet, small", npnet, 1e-3, make=small_npnet.make_network)
    add("NPNet, packaged/shapes", npnet, 1e-3, make=lambda: load_npnet("packaged/shapes"))
    add("NPNet, SDXL's size", npnet, 1e-3, make=full_size)
    add("NPNet on float16 noise", npnet, 1e-2, make=small_npnet.make_network, dtype=torch.float16)
    for name, (kind, config) in SCORERS.items():
        add(f"scorer {name}", scored, 1e-3, kind=kind, config=config)
    for kind in tiny_weights.WRITERS:
        add(f"scorer {kind}, random weights", with_random_weights, 1e-3, kind=kind)
        add(f"scorer {kind}, random weights, bfloat16", with_random_weights, 0.2, kind=kind, dtype="bfloat16")
    add("gradient of shapes_clip", gradients, 1e-2)
    add("geneval's detector, random weights", geneval_networks, 1e-2)
