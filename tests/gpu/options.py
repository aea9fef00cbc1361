"""Checks of what saves memory or time on a device, and of number formats."""

from typing import Any

import pytest
import torch
from gpu.models import SHAPES, TINY, batch_of, model_of, sampled
from gpu.noises import needs_gpu, tools_of
from gpu.place import CPU, Found, NotHere, Place, add, deviation

from goldennoise import methods
from goldennoise.errors import ConfigError, ModelError
from goldennoise.methods import gradient
from goldennoise.runtime.compute import ATTENTION, ComputeConfig
from goldennoise.runtime.resources import machine_errors

HALF = ("float16", "bfloat16")


def compute_of(place: Place, **options: Any) -> ComputeConfig:
    return ComputeConfig(device="cuda" if place.is_gpu else "cpu", **options)


def changed(place: Place, family: str, **options: Any) -> Found:
    """Images with an option against those without, both on the device; in several sizes of batch."""
    expected = [sampled(model_of(family, place.device), num=num)[1] for num in (3, 1, 2)]
    model = model_of(family, place.device)
    model.run_with(compute_of(place, **options), place.device)
    found = [sampled(model, num=num)[1] for num in (3, 1, 2)]
    return Found(max(deviation(each, one) for each, one in zip(found, expected, strict=True)))


def offloaded(place: Place, family: str, dtype: str) -> Found:
    """Each network takes its turn on the GPU, and none is left there."""
    needs_gpu(place, "compute.offload")
    expected = [sampled(model_of(family, place.device, dtype))[1] for _ in range(2)]
    model = model_of(family, CPU, dtype)
    model.run_with(compute_of(place, offload=True), place.device)
    assert model.device == place.device, model.device
    found = [sampled(model)[1] for _ in range(2)]
    networks = [part for part in model._pipe.components.values() if isinstance(part, torch.nn.Module)]
    left = {type(network).__name__ for network in networks for weight in network.parameters() if weight.is_cuda}
    assert not left, f"{left} stayed on the GPU"
    return Found(max(deviation(each, one) for each, one in zip(found, expected, strict=True)))


@torch.no_grad()
def offloaded_gradient(place: Place) -> Found:
    """A gradient goes back through an offloaded denoiser and decoder."""
    needs_gpu(place, "compute.offload")
    config, found = gradient.Config(num_iterations=2, num_steps=2), []
    for offload in (False, True):
        model = model_of(SHAPES, CPU if offload else place.device)
        model.run_with(compute_of(place, offload=offload), place.device)
        method = methods.build(config, tools_of(place, model, place.device))
        found.append(method.golden(model, batch_of(model)))
    return Found(deviation(found[1], found[0]))


def half(place: Place, family: str, dtype: str) -> Found:
    """Images in half precision are finite; their mean distance from float32's on the CPU, of the range of 1."""
    expected = sampled(model_of(family, CPU))[1]
    images = sampled(model_of(family, place.device, dtype))[1]
    assert bool(images.isfinite().all()), "pixels that are not finite"
    return Found(float((images - expected).abs().mean()))


def attention(place: Place, backend: str) -> Found:
    """A backend of a transformer in bfloat16, which some of them are for."""
    expected = sampled(model_of("flux", place.device, "bfloat16"))[1]
    model = model_of("flux", place.device, "bfloat16")
    try:
        model.run_with(compute_of(place, attention=backend), place.device)
    except ConfigError as refused:
        raise NotHere(str(refused)) from None
    try:
        images = sampled(model)[1]
    except RuntimeError as error:
        if place.is_gpu:
            raise
        raise NotHere(f"not on this CPU: {str(error).splitlines()[0]}") from None
    return Found(float((images - expected).abs().mean()))


def full_memory(place: Place) -> Found:
    """What does not fit becomes one sentence."""
    expected = "no memory left on the GPU" if place.is_gpu else "no memory left"
    with pytest.raises(ModelError, match=expected) as raised, machine_errors():
        torch.empty(2**52, dtype=torch.uint8, device=place.device)
    return Found(told=str(raised.value))


def register() -> None:
    for family in (*TINY, SHAPES):
        for dtype in HALF:
            add(f"images in {dtype}, {family}", half, 0.1, family=family, dtype=dtype)
    for family in (SHAPES, "stable_diffusion_xl", "flux"):
        add(f"compute.channels_last, {family}", changed, 1e-3, family=family, channels_last=True)
        add(f"compute.decode_batch_size=1, {family}", changed, 1e-3, family=family, decode_batch_size=1)
        add(f"compute.offload, {family}", offloaded, 1e-3, family=family, dtype="float32")
        add(f"compute.offload in float16, {family}", offloaded, 1e-2, family=family, dtype="float16")
    add("compute.offload with a gradient", offloaded_gradient, 1e-2)
    for backend in ATTENTION:
        add(f"compute.attention={backend}, flux", attention, 0.02, backend=backend)
    add("a full memory", full_memory, None)
