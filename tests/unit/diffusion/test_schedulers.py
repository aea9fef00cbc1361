import inspect
from typing import Any

import pytest
import torch
from tiny import tiny_pipeline, tiny_scheduler, tiny_xl_pipeline

from goldennoise import diffusion
from goldennoise.diffusion.re_denoise import re_denoise
from goldennoise.diffusion.schedulers import DETERMINISTIC, SCHEDULERS, STOCHASTIC, check_deterministic, make_scheduler
from goldennoise.errors import ConfigError, ModelError
from goldennoise.seeding import gaussian_noise

FAMILIES = ["stable_diffusion", "stable_diffusion_xl"]


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("option", STOCHASTIC)
def test_a_stochastic_sampler_is_refused_with_the_reason(kind: str, option: str) -> None:
    with pytest.raises(ConfigError, match=f"^scheduler={option}: .*one of ddim, .*; {option} draws fresh noise"):
        diffusion.component(kind).Config(scheduler=option)


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_unknown_sampler_is_refused_with_those_there_are(kind: str) -> None:
    allowed = "scheduler must be one of ddim, euler, dpmpp_2m, unipc, pndm, heun"
    with pytest.raises(ConfigError, match=rf"^scheduler=eular: {allowed}; did you mean euler\?$"):
        diffusion.component(kind).Config(scheduler="eular")
    with pytest.raises(ConfigError, match=f"^scheduler=xyz: {allowed}$"):
        diffusion.component(kind).Config(scheduler="xyz")


def test_every_option_is_a_deterministic_scheduler() -> None:
    for option, (name, _) in SCHEDULERS.items():
        assert name in DETERMINISTIC
        check_deterministic(make_scheduler(option, tiny_scheduler().config))


@pytest.mark.parametrize("option", SCHEDULERS)
def test_an_option_is_the_same_sampler_whatever_the_pipeline_was_set_to(option: str) -> None:
    others = {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "clip_sample": True, "thresholding": True}
    chosen = {"_use_default_values": []}  # diffusers would take the class's own default for what nobody chose
    scheduler = make_scheduler(option, dict(tiny_scheduler().config) | others | chosen)
    check_deterministic(scheduler)
    for clipping in {"clip_sample", "thresholding"} & set(inspect.signature(type(scheduler)).parameters):
        assert not scheduler.config[clipping]
    assert option != "dpmpp_2m" or scheduler.config.solver_order == 2


@pytest.mark.parametrize("option", ["pndm", "heun"])
def test_a_sampler_that_would_drop_zero_terminal_snr_is_refused(option: str) -> None:
    with pytest.raises(ModelError, match=f"scheduler={option} has no schedule with zero terminal SNR"):
        make_scheduler(option, tiny_scheduler(rescale_betas_zero_snr=True).config)


@pytest.mark.parametrize("option", ["ddim", "euler", "dpmpp_2m", "unipc"])
def test_zero_terminal_snr_is_kept(option: str) -> None:
    scheduler = make_scheduler(option, tiny_scheduler(rescale_betas_zero_snr=True).config)
    assert scheduler.alphas_cumprod[-1] < 1e-6


@pytest.mark.parametrize(
    ("option", "passes"), [("ddim", 6), ("euler", 6), ("dpmpp_2m", 6), ("unipc", 6), ("pndm", 7), ("heun", 11)]
)
@torch.no_grad()
def test_what_six_steps_of_a_sampler_cost(option: str, passes: int) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = make_scheduler(option, pipe.scheduler.config)
    model = diffusion.from_pipeline(pipe)
    model.sample(gaussian_noise((4, 8, 8), [0]), model.encode(["a"]), num_steps=6, guidance=1.0)
    assert model.num_evaluations == passes


@pytest.mark.parametrize("pipeline", [tiny_pipeline, tiny_xl_pipeline])
@torch.no_grad()
def test_re_denoise_does_not_depend_on_the_sampler(pipeline: Any) -> None:
    noise = gaussian_noise((4, 8, 8), [0])
    arguments: dict[str, Any] = {"denoise_guidance": 5.5, "invert_guidance": 1.0, "num_steps": 10, "depth": 2}
    golden = []
    for option in SCHEDULERS:
        pipe = pipeline(set_alpha_to_one=True, timestep_spacing="trailing")
        pipe.scheduler = make_scheduler(option, pipe.scheduler.config)
        model = diffusion.from_pipeline(pipe)
        golden.append(re_denoise(model, noise, model.encode(["a"]), **arguments))
    assert (golden[0] - noise).abs().max() > 1e-2
    assert all(torch.equal(each, golden[0]) for each in golden)
