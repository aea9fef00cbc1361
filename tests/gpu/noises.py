"""Checks of noise, sampling, re-denoise and methods: a device against the CPU."""

from typing import Any

import torch
from diffusers import LCMScheduler
from gpu.models import PROMPTS, SHAPES, TINY, batch_of, model_of, pipeline, sampled, some_noise
from gpu.place import CPU, Found, NotHere, Place, add, deviation
from unit.networks.small_one_more_step import make_network

from goldennoise import GoldenNoise, methods
from goldennoise import re_denoise as golden_by_re_denoise
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.re_denoise import re_denoise
from goldennoise.diffusion.schedules.fixed import FixedSchedule
from goldennoise.diffusion.schedules.learned import LearnedSchedule
from goldennoise.methods.tools import MethodTools
from goldennoise.networks.checkpoint import save_npnet
from goldennoise.networks.sources import PACKAGED
from goldennoise.networks.time_predictor import TimePredictorConfig as PredictorConfig
from goldennoise.networks.time_predictor.network import new_predictor
from goldennoise.scorers import shapes_clip

SETTINGS: dict[str, dict[str, Any]] = {
    "standard": {},
    "scaled": {"factor": 0.9},
    "fixed_schedule": {"num_steps": 3},
    "re_denoise": {"depth": 2, "num_rounds": 2},
    "re_paint": {"num_rounds": 2, "depth": 2},
    "tone": {"num_images": 8},
    "layout": {},
    "npnet": {"artifact": "packaged"},
    "one_more_step": {"artifact": "one_more_step", "guidance": 2.0},
    "time_prediction": {"artifact": None},
    "best_of_n": {"num_candidates": 3, "scorer": "shapes_clip"},
    "early_stop": {"num_candidates": 3, "num_steps": 2, "scorer": "shapes_clip"},
    "zero_order": {"num_neighbours": 2, "num_rounds": 2, "scorer": "shapes_clip"},
    "gradient": {"num_iterations": 2, "num_steps": 3, "scorer": "shapes_clip"},
    "find": {"num_updates": 2, "num_rollouts": 2, "learning_rate": 0.1, "scorer": "shapes_clip"},
}
"""Options of every method in its check."""


def source_noise(place: Place, family: str) -> Found:
    """It is drawn on the CPU, so it is the same bit for bit."""
    here, there = (model_of(family, device).initial_noise([3, 5, 7]) for device in (CPU, place.device))
    assert there.device == place.device, there.device
    return Found(deviation(there, here))


def sampling(place: Place, family: str) -> Found:
    (latents, images), (own_latents, own_images) = (sampled(model_of(family, at)) for at in (CPU, place.device))
    return Found(max(deviation(own_latents, latents), deviation(own_images, images)))


def long_sampling(place: Place) -> Found:
    here, there = (sampled(model_of(SHAPES, device), num_steps=20, num=2)[1] for device in (CPU, place.device))
    return Found(deviation(there, here))


def stochastic_sampling(place: Place) -> Found:
    """The steps draw on the CPU, whatever the device."""
    found = []
    for device in (CPU, place.device):
        pipe = pipeline("stable_diffusion_xl", device)
        pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
        found.append(sampled(from_pipeline(pipe))[0])
    return Found(deviation(found[1], found[0]))


@torch.no_grad()
def golden_by_model(place: Place, family: str) -> Found:
    """What a round trip changes, which is little against the noise itself."""
    changes = []
    for device in (CPU, place.device):
        model = model_of(family, device)
        noise = some_noise(model)
        settings = {"denoise_guidance": 5.5, "invert_guidance": 1.0, "num_steps": 10, "depth": 2}
        changes.append((re_denoise(model, noise, model.encode(PROMPTS), **settings) - noise).cpu())
    return Found(deviation(changes[1], changes[0]))


@torch.no_grad()
def walking(place: Place, family: str, is_learned: bool) -> Found:
    """On levels that are given, or that a network reads off the denoiser's features."""
    found = []
    for device in (CPU, place.device):
        model = model_of(family, device)
        schedule: Any = FixedSchedule((1.0, 0.6, 0.3, 0.0))
        if is_learned:
            network = new_predictor(PredictorConfig(model.feature_width), seed=0).eval()
            schedule = LearnedSchedule(network, max_steps=4)
        plan = SamplingPlan(some_noise(model), schedule=schedule)
        found.append(model.sample(plan, model.encode(PROMPTS)).cpu())
    return Found(deviation(found[1], found[0]))


@torch.no_grad()
def encoding_images(place: Place, family: str) -> Found:
    images = list(torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(0)))
    here, there = (model_of(family, device).encode_images(images) for device in (CPU, place.device))
    return Found(deviation(there, here))


def tools_of(place: Place, model: Any, device: torch.device) -> MethodTools:
    """A scorer on the device, the packaged network and a small one of One More Step."""
    text = tuple(batch_of(model).embedding.cond.shape[1:])
    folder = place.folder / f"one_more_step_{device.type}"
    save_npnet(make_network(model.latent_shape, text=text), folder, {})  # type: ignore[arg-type]
    folders = {"packaged": PACKAGED[f"packaged/{SHAPES}"], "one_more_step": folder}
    scorers = {"shapes_clip": shapes_clip.build(shapes_clip.Config(), device)}
    return MethodTools(scorers, lambda _, reference: folders[reference])


@torch.no_grad()
def method(place: Place, kind: str) -> Found:
    """What a method plans on the shapes world, sampled."""
    found = []
    for device in (CPU, place.device):
        model = model_of(SHAPES, device)
        model.num_steps = 4
        tools = tools_of(place, model, device)
        built = methods.build(methods.component(kind).Config(**SETTINGS[kind]), tools)
        batch = batch_of(model)
        built.prepare(model)
        plan = built.plan(model, batch)
        assert plan.noise.device == batch.source.device, plan.noise.device
        found.append(model.decode(model.sample(plan, batch.embedding, batch.step_seeds)).cpu())
    return Found(deviation(found[1], found[0]))


def api(place: Place, family: str) -> Found:
    """`goldennoise.re_denoise` on a pipeline, with a generator of the CPU, and with one of the device."""
    found = []
    for device in (CPU, place.device):
        pipe = pipeline(family, device)
        golden = golden_by_re_denoise(pipe, PROMPTS, generator=torch.Generator().manual_seed(0))
        assert golden.device == device, golden.device
        images = pipe(PROMPTS, latents=golden, num_inference_steps=2, output_type="pt").images
        own = golden_by_re_denoise(pipe, PROMPTS, generator=torch.Generator(device).manual_seed(0))
        assert bool(own.isfinite().all())
        found.append((golden.float().cpu(), images.float().cpu()))
    return Found(max(deviation(there, here) for here, there in zip(*found, strict=True)))


def api_network(place: Place) -> Found:
    """The packaged network on the shapes world's pipeline, as the README has it."""
    found = []
    for device in (CPU, place.device):
        pipe = model_of(SHAPES, device)._pipe
        golden = GoldenNoise.from_pretrained(f"packaged/{SHAPES}")
        found.append(golden(pipe, PROMPTS, generator=torch.Generator().manual_seed(0)).cpu())
    return Found(deviation(found[1], found[0]))


def needs_gpu(place: Place, what: str) -> None:
    if not place.is_gpu:
        raise NotHere(f"{what} needs a GPU")


def register() -> None:
    for each in (SHAPES, *TINY):
        add(f"source noise, {each}", source_noise, 0.0, family=each)
    for each in (SHAPES, *TINY):
        add(f"sampling, {each}", sampling, 1e-3, family=each)
    add("sampling in 20 steps, shapes", long_sampling, 1e-2)
    add("sampling with draws at its steps, stable_diffusion_xl", stochastic_sampling, 1e-3)
    for each in (SHAPES, *TINY):
        add(f"re_denoise, {each}", golden_by_model, 1e-2, family=each)
    for each in ("stable_diffusion_xl", "stable_diffusion_3"):
        add(f"levels that are given, {each}", walking, 1e-3, family=each, is_learned=False)
        add(f"levels that are predicted, {each}", walking, 1e-2, family=each, is_learned=True)
    for each in (SHAPES, "stable_diffusion_xl", "sana"):
        add(f"images to latents, {each}", encoding_images, 1e-3, family=each)
    for each in ("stable_diffusion", "stable_diffusion_xl", "flux"):
        add(f"goldennoise.re_denoise, {each}", api, 1e-2, family=each)
    add("goldennoise.GoldenNoise, shapes", api_network, 1e-3)
    for each in SETTINGS:
        add(f"method {each}", method, 1e-2, kind=each)
