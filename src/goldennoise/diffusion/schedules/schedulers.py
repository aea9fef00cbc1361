"""The samplers to choose from. A stochastic one draws noise at its steps too, from a seed of each sample.

Imports neither torch nor diffusers: the command line checks the option before anything loads.
"""

import inspect
import logging
from collections.abc import Sequence
from typing import Any

from goldennoise.errors import ModelError, nearest, require

logger = logging.getLogger(__name__)

SCHEDULERS: dict[str, tuple[str, dict[str, object]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False, "thresholding": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "dpmpp_2m": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "thresholding": False},
    ),
    "unipc": ("UniPCMultistepScheduler", {"thresholding": False}),
    # Without the Runge-Kutta steps at the start, which cost four evaluations each; as Stable Diffusion's own config.
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "heun": ("HeunDiscreteScheduler", {"clip_sample": False}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m_sde": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "thresholding": False},
    ),
    "lcm": ("LCMScheduler", {"clip_sample": False, "thresholding": False}),
}
"""Option -> diffusers class, and what it must be told. Clipping x_0 to an image's range is meant for pixels.

The last three are stochastic.
"""

TAKE_TIMESTEPS = ("euler", "dpmpp_2m", "heun", "dpmpp_2m_sde", "lcm")
"""Options that can be told their timesteps."""

DISTILLED = "original_inference_steps"
"""Setting of a config whose model was distilled into few steps: the most timesteps that it was made for.

With LCMScheduler those of its teacher, of which it takes a few; with TCDScheduler its own, all of which it takes.
"""

OF_DISTILLED = (DISTILLED, "timestep_scaling")
"""Settings that mean nothing to samplers of other models, which would warn of them."""

MOST_STEPS = 8
"""What a latent consistency model is made for; with more the noise of its own steps blurs the image."""

LCM_STEPS = 50
"""What the schedule of a latent consistency model was distilled in."""

SPACINGS = ("leading", "linspace", "trailing")
"""How timesteps are laid over the schedule of training; see diffusers' `timestep_spacing`."""

RESCALED = "rescale_betas_zero_snr"
"""Setting of a config whose last timestep of training is pure noise (arXiv 2305.08891)."""

DETERMINISTIC = (
    "DDIMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
STOCHASTIC = ("EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "LCMScheduler")
"""Classes a pipeline given by the user may carry; those that solve an SDE with `algorithm_type` are stochastic too."""

WALKED = ("DDIMScheduler", "FlowMatchEulerDiscreteScheduler")
WALKED_OPTIONS = ("ddim", "flow_euler")
"""Classes whose steps are those of `goldennoise.diffusion.sampling`."""

FLOW_SCHEDULERS = {
    "flow_euler": "FlowMatchEulerDiscreteScheduler without stochastic_sampling",
    "flow_dpmpp_2m": "DPMSolverMultistepScheduler with use_flow_sigmas=True and a deterministic algorithm_type",
}
"""Options for flow-matching models, the second for those alone whose schedule is shifted by a constant."""


def require_betas(config: Any) -> None:
    """Raises `ModelError` for a scheduler's config without betas: one made from it would bring betas of its own."""
    if config.get("beta_schedule") is None and config.get("trained_betas") is None:
        raise ModelError(
            "The pipeline's scheduler has no betas, which models of this family are trained on: give the pipeline a "
            "scheduler with those of its training; one trained in another way (EDM, flow matching) is not supported."
        )


def check_option(option: str, allowed: Sequence[str]) -> None:
    """Raises `ConfigError` for a sampler that does not exist or does not fit the family."""
    choice = f"one of {', '.join(allowed)}" if len(allowed) > 1 else f"{allowed[0]}, this family's only sampler"
    require(option in allowed, "scheduler", option, choice + nearest(option, allowed))


def make_scheduler(option: str, config: Any, spacing: str | None = None) -> Any:
    """The chosen diffusers scheduler on the noise schedule of `config`, that of the pipeline's own scheduler.

    spacing: of the timesteps, one of `SPACINGS`, None for the pipeline's own. Raises `ModelError` where it cannot
    follow that schedule.
    """
    import diffusers

    require_betas(config)
    name, settings = SCHEDULERS[option]
    scheduler_class = getattr(diffusers, name)
    if config.get(RESCALED) and not _has_zero_terminal_snr(option):
        others = ", ".join(filter(_has_zero_terminal_snr, SCHEDULERS))
        raise ModelError(
            f"scheduler={option} has no schedule with zero terminal SNR, which this model was trained on: choose one "
            f"of {others}."
        )
    spaced = {} if spacing is None else {"timestep_spacing": spacing}
    taken = inspect.signature(scheduler_class).parameters
    told = {name: value for name, value in config.items() if name in taken or name not in OF_DISTILLED}
    return scheduler_class.from_config(told, **settings, **spaced)


def _has_zero_terminal_snr(option: str) -> bool:
    import diffusers

    return RESCALED in inspect.signature(getattr(diffusers, SCHEDULERS[option][0])).parameters


def is_distilled(scheduler: Any) -> bool:
    """Whether a pipeline's own scheduler says that its model was distilled into few steps."""
    return scheduler.config.get(DISTILLED) is not None


def check_distilled(model: str, scheduler: Any, option: str, num_steps: int, spacing: str | None) -> None:
    """Warn of a sampler that a distilled model was not made for. scheduler: the pipeline's own.

    spacing: of the timesteps, None for the scheduler's.
    """
    own = scheduler.config[DISTILLED]
    # As many as diffusers has by default is no number that a student was made for.
    deterministic = type(scheduler).__name__ == "TCDScheduler" and own != LCM_STEPS
    made_for = "ddim" if deterministic else "lcm"
    if option != made_for:
        said = (model, made_for, option)
        logger.warning("%s was distilled for scheduler=%s: model.scheduler=%s blurs its images", *said)
    elif deterministic and num_steps != own:
        logger.warning("%s was distilled for %d steps, not model.num_steps=%d", model, own, num_steps)
    elif deterministic and (spacing or scheduler.config.timestep_spacing) != "trailing":
        logger.warning("%s was distilled for model.timestep_spacing=trailing: others blur its images", model)
    elif not deterministic and num_steps > MOST_STEPS:
        logger.warning("%s was distilled for at most %d steps, not model.num_steps=%d", model, MOST_STEPS, num_steps)


def is_stochastic(scheduler: Any) -> bool:
    """Whether a diffusers scheduler draws noise at its steps. Raises `ModelError` for one whose draws are not known."""
    name = type(scheduler).__name__
    if name not in DETERMINISTIC + STOCHASTIC:
        raise ModelError(
            f"Nothing is known of {name}, which may draw noise of its own: set the pipeline's scheduler to one of "
            f"{', '.join(DETERMINISTIC + STOCHASTIC)}."
        )
    # A config made from that of another class keeps settings that mean nothing to this one.
    has_algorithms = "algorithm_type" in inspect.signature(type(scheduler)).parameters
    return name in STOCHASTIC or (has_algorithms and scheduler.config.algorithm_type.startswith("sde"))


def require_walked(scheduler: Any) -> None:
    """Raises `ModelError` for a sampler whose steps are not those that a schedule of a method's own is walked in."""
    name = type(scheduler).__name__
    if name not in WALKED:
        raise ModelError(
            f"A schedule of a method's own is walked in DDIM steps, or straight along a flow, and {name} takes others, "
            "so the two could not be compared: set model.scheduler=ddim, or flow_euler for a model of that kind."
        )


def make_flow_scheduler(option: str, scheduler: Any) -> Any:
    """The chosen flow-matching scheduler on the noise levels of `scheduler`, the pipeline's own."""
    from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

    config = scheduler.config
    shift = config.shift if isinstance(scheduler, FlowMatchEulerDiscreteScheduler) else config.flow_shift
    if option == "flow_euler":
        return FlowMatchEulerDiscreteScheduler.from_config(config, shift=shift)
    settings: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
    return DPMSolverMultistepScheduler.from_config(config, **settings, **SCHEDULERS["dpmpp_2m"][1])


def check_flow(scheduler: Any, allowed: Sequence[str]) -> None:
    """Raises `ModelError` for a diffusers scheduler that is none of the `allowed` options or draws noise of its own."""
    name, config = type(scheduler).__name__, scheduler.config
    fits = False
    if name == "FlowMatchEulerDiscreteScheduler":
        fits = not config.stochastic_sampling
    elif name == "DPMSolverMultistepScheduler" and "flow_dpmpp_2m" in allowed:
        fits = config.use_flow_sigmas and not config.algorithm_type.startswith("sde")
    if not fits:
        raise ModelError(
            f"{name} as it is set does not sample this flow-matching model, or draws noise of its own: set the "
            f"pipeline's scheduler to {' or '.join(FLOW_SCHEDULERS[option] for option in allowed)}."
        )
