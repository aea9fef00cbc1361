import inspect
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler, TCDScheduler
from tiny import tiny_pipeline, tiny_scheduler, tiny_xl_pipeline

from goldennoise.diffusion import families
from goldennoise.diffusion.families.latent_unet import StableDiffusion
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.re_denoise import re_denoise
from goldennoise.diffusion.schedules.schedulers import (
    SCHEDULERS,
    SPACINGS,
    TAKE_TIMESTEPS,
    check_distilled,
    is_stochastic,
    make_scheduler,
)
from goldennoise.errors import ConfigError, ModelError
from goldennoise.runtime.seeding import gaussian_noise

FAMILIES = ["stable_diffusion", "stable_diffusion_xl"]
STOCHASTIC_OPTIONS = ["euler_a", "dpmpp_2m_sde", "lcm"]


def model_with(option: str) -> Any:
    """A tiny Stable Diffusion with the sampler of an option."""
    pipe = tiny_pipeline()
    pipe.scheduler = make_scheduler(option, pipe.scheduler.config)
    return from_pipeline(pipe)


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_unknown_sampler_is_refused_with_those_there_are(kind: str) -> None:
    allowed = "scheduler must be one of ddim, euler, dpmpp_2m, unipc, pndm, heun, euler_a, dpmpp_2m_sde, lcm"
    with pytest.raises(ConfigError, match=rf"^scheduler=eular: {allowed}; did you mean euler\?$"):
        families.component(kind).Config(scheduler="eular")
    with pytest.raises(ConfigError, match=f"^scheduler=xyz: {allowed}$"):
        families.component(kind).Config(scheduler="xyz")


@pytest.mark.parametrize("option", SCHEDULERS)
def test_which_options_draw_noise(option: str) -> None:
    assert is_stochastic(make_scheduler(option, tiny_scheduler().config)) == (option in STOCHASTIC_OPTIONS)


@pytest.mark.parametrize("option", SCHEDULERS)
def test_an_option_is_the_same_sampler_whatever_the_pipeline_was_set_to(option: str) -> None:
    others = {"algorithm_type": "sde-dpmsolver", "solver_order": 3, "clip_sample": True, "thresholding": True}
    chosen = {"_use_default_values": []}  # diffusers would take the class's own default for what nobody chose
    scheduler = make_scheduler(option, dict(tiny_scheduler().config) | others | chosen)
    assert is_stochastic(scheduler) == (option in STOCHASTIC_OPTIONS)
    for clipping in {"clip_sample", "thresholding"} & set(inspect.signature(type(scheduler)).parameters):
        assert not scheduler.config[clipping]
    assert not option.startswith("dpmpp_2m") or scheduler.config.solver_order == 2


@pytest.mark.parametrize("option", SCHEDULERS)
def test_a_sampler_of_another_class_is_not_told_what_a_student_was_made_for(option: str) -> None:
    student = TCDScheduler.from_config(tiny_scheduler().config, original_inference_steps=4)
    scheduler = make_scheduler(option, student.config)
    assert ("original_inference_steps" in scheduler.config) == (option == "lcm")
    assert ("timestep_scaling" in scheduler.config) == (option == "lcm")


def test_a_pipeline_with_another_ones_consistency_sampler_is_no_student_of_a_number_of_steps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scheduler = TCDScheduler.from_config(tiny_scheduler().config)
    check_distilled("theirs", scheduler, "lcm", 4, None)
    assert not caplog.records


@pytest.mark.parametrize("option", STOCHASTIC_OPTIONS)
@torch.no_grad()
def test_draws_of_the_steps_follow_the_seeds(option: str) -> None:
    model, noise = model_with(option), gaussian_noise((4, 8, 8), [0, 0, 0])
    embedding = model.encode(["a"] * 3)
    first, same, other = model.sample(SamplingPlan(noise, num_steps=4), embedding, [1, 1, 2])
    assert torch.equal(first, same)
    assert (first - other).abs().max() > 1e-2
    alone = model.sample(SamplingPlan(noise[:1], num_steps=4), model.encode(["a"]), [2])[0]
    assert (alone - other).abs().max() < 1e-5 * other.abs().max()


@pytest.mark.parametrize("option", STOCHASTIC_OPTIONS)
@torch.no_grad()
def test_a_stochastic_sampler_needs_seeds(option: str) -> None:
    model = model_with(option)
    with pytest.raises(ModelError, match=r"Scheduler draws noise at its steps, .*give sample\(\) step_seeds"):
        model.sample(SamplingPlan(gaussian_noise((4, 8, 8), [0])), model.encode(["a"]))


@torch.no_grad()
def test_a_scheduler_nothing_is_known_of_is_refused() -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    model = from_pipeline(pipe)
    with pytest.raises(ModelError, match=r"^Nothing is known of DDPMScheduler, .* one of DDIMScheduler, "):
        model.sample(SamplingPlan(gaussian_noise((4, 8, 8), [0])), model.encode(["a"]), [0])


@torch.no_grad()
@pytest.mark.parametrize("scheduler", [EDMEulerScheduler, FlowMatchEulerDiscreteScheduler])
def test_a_scheduler_without_betas_is_refused(scheduler: Any) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = scheduler()
    with pytest.raises(ModelError, match=r"scheduler has no betas.*EDM, flow matching"):
        from_pipeline(pipe)
    with pytest.raises(ModelError, match="has no betas"):
        make_scheduler("dpmpp_2m", pipe.scheduler.config)


def test_a_seed_for_every_row() -> None:
    model = model_with("euler_a")
    with pytest.raises(ConfigError, match=r"^step_seeds=\[1, 2\]: step_seeds must be one for each of the 3 rows"):
        model.sample(SamplingPlan(gaussian_noise((4, 8, 8), range(3))), model.encode(["a"] * 3), [1, 2])


@torch.no_grad()
def test_more_steps_than_a_consistency_model_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^num_steps=51: num_steps must be at most 50 for scheduler=lcm$"):
        families.component("stable_diffusion").Config(num_steps=51, scheduler="lcm")
    model = model_with("lcm")
    noise, embedding = gaussian_noise((4, 8, 8), [0]), model.encode(["a"])
    with pytest.raises(ConfigError, match=r"^num_steps=51: num_steps must be at most 50 for a LCMScheduler$"):
        model.sample(SamplingPlan(noise, num_steps=51), embedding, [0])
    # A sampler whose config was made from LCM's is not bound by it.
    model._pipe.scheduler = make_scheduler("ddim", model._pipe.scheduler.config)
    assert model.sample(SamplingPlan(noise, guidance=1.0, num_steps=51), embedding).isfinite().all()


@pytest.mark.parametrize("option", sorted({*SCHEDULERS} - {*TAKE_TIMESTEPS}))
def test_timesteps_for_a_sampler_that_takes_none_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"timesteps must be null for {option}; euler, .* take any"):
        families.component("stable_diffusion").Config(num_steps=2, scheduler=option, timesteps=[999, 400])
    with pytest.raises(TypeError, match="timesteps"):
        make_scheduler(option, tiny_scheduler().config).set_timesteps(timesteps=[999, 400])


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("timesteps", [[999, 400], [], [1, 2, 3], [999, 400, 400], [999, 400, -1]])
def test_timesteps_that_are_no_schedule_are_refused(kind: str, timesteps: list[int]) -> None:
    with pytest.raises(ConfigError, match="timesteps must be null or num_steps=3 falling numbers, the last at least 0"):
        families.component(kind).Config(num_steps=3, scheduler="euler", timesteps=timesteps)


@torch.no_grad()
@pytest.mark.parametrize("option", TAKE_TIMESTEPS)
def test_timesteps_that_training_did_not_have_are_refused(option: str) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = make_scheduler(option, pipe.scheduler.config)
    model = StableDiffusion(pipe, name="tiny", num_steps=2, guidance=3.0, timesteps=[1000, 400])
    with pytest.raises(ConfigError, match=r"^timesteps=\[1000, 400\]: timesteps must be below 1000, the steps of"):
        model.sample(SamplingPlan(gaussian_noise((4, 8, 8), [0])), model.encode(["a"]), [0])


@pytest.mark.parametrize(
    "settings",
    [
        {"timestep_spacing": "trailling"},
        {"timestep_spacing": "trailing", "scheduler": "lcm"},
        {"timestep_spacing": "trailing", "scheduler": "euler", "num_steps": 2, "timesteps": [999, 400]},
    ],
)
def test_a_spacing_that_would_do_nothing_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="timestep_spacing must be null or one of leading, linspace, trailing; lcm"):
        families.component("stable_diffusion").Config(**settings)


@pytest.mark.parametrize("option", sorted({*SCHEDULERS} - {"lcm"}))
def test_spacings_differ(option: str) -> None:
    first = set()
    for spacing in SPACINGS:
        scheduler = make_scheduler(option, tiny_scheduler().config, spacing)
        scheduler.set_timesteps(7)
        first.add(tuple(scheduler.timesteps.tolist()))
    assert len(first) == 3


@pytest.mark.parametrize("kind", ["flux", "sana", "stable_diffusion_3"])
def test_a_flow_has_a_schedule_of_its_own(kind: str) -> None:
    settings: dict[str, Any]
    for option, settings in (
        ("timestep_spacing", {"timestep_spacing": "trailing"}),
        ("timesteps", {"num_steps": 2, "timesteps": [999, 400]}),
    ):
        with pytest.raises(ConfigError, match=f"{option} must be null for this family"):
            families.component(kind).Config(**settings)


@pytest.mark.parametrize("option", ["pndm", "heun"])
def test_a_sampler_that_would_drop_zero_terminal_snr_is_refused(option: str) -> None:
    others = "ddim, euler, dpmpp_2m, unipc, euler_a, dpmpp_2m_sde, lcm"
    with pytest.raises(ModelError, match=rf"scheduler={option} has no schedule with zero terminal SNR.* {others}\.$"):
        make_scheduler(option, tiny_scheduler(rescale_betas_zero_snr=True).config)


@pytest.mark.parametrize("option", ["ddim", "euler", "dpmpp_2m", "unipc", *STOCHASTIC_OPTIONS])
@torch.no_grad()
def test_a_model_that_predicts_noise_does_not_sample_from_pure_noise(option: str) -> None:
    """There diffusers gives no number, or latents as large as its largest sigma."""
    pipe = tiny_pipeline(rescale_betas_zero_snr=True)
    noise = gaussian_noise((4, 8, 8), [0])
    for spacing, starts_from_noise in (("trailing", True), ("leading", option == "lcm")):
        pipe.scheduler = make_scheduler(option, pipe.scheduler.config, spacing)
        model = from_pipeline(pipe)
        plan, text = SamplingPlan(noise, num_steps=6), model.encode(["a"])
        if starts_from_noise:
            with pytest.raises(ModelError, match=r"^Timestep 999 .* pure noise \(alpha-bar 0\), .* that predicts v"):
                model.sample(plan, text, [0])
        else:
            assert model.sample(plan, text, [0]).isfinite().all()


@pytest.mark.parametrize("option", ["ddim", "euler", "dpmpp_2m", "unipc", *STOCHASTIC_OPTIONS])
def test_zero_terminal_snr_is_kept(option: str) -> None:
    scheduler = make_scheduler(option, tiny_scheduler(rescale_betas_zero_snr=True).config)
    assert scheduler.alphas_cumprod[-1] < 1e-6


@pytest.mark.parametrize(
    ("option", "passes"),
    [
        *((option, 6) for option in ("ddim", "euler", "dpmpp_2m", "unipc", *STOCHASTIC_OPTIONS)),
        ("pndm", 7),
        ("heun", 11),
    ],
)
@torch.no_grad()
def test_what_six_steps_of_a_sampler_cost(option: str, passes: int) -> None:
    model = model_with(option)
    model.sample(SamplingPlan(gaussian_noise((4, 8, 8), [0]), guidance=1.0, num_steps=6), model.encode(["a"]), [0])
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
        model = from_pipeline(pipe)
        golden.append(re_denoise(model, noise, model.encode(["a"]), **arguments))
    assert (golden[0] - noise).abs().max() > 1e-2
    assert all(torch.equal(each, golden[0]) for each in golden)
