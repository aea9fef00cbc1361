"""The samplers to choose from: deterministic ones only, so that the initial noise alone decides the image.

Imports neither torch nor diffusers: the command line checks the option before anything loads.
"""

import difflib
import inspect
from typing import Any

from goldennoise.errors import ModelError, require

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
}
"""Option -> diffusers class, and what it must be told. Clipping x_0 to an image's range is meant for pixels."""

STOCHASTIC = ("ddpm", "dpmpp_2m_sde", "dpmpp_2s_a", "dpmpp_sde", "euler_a", "kdpm2_a", "lcm", "tcd")
"""Names that users of diffusers may ask for, refused with the reason."""

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
"""Classes a pipeline given by the user may carry."""


def check_option(option: str) -> None:
    """Raises `ConfigError` for a sampler that does not exist or draws noise of its own."""
    if option in STOCHASTIC:
        hint = f"; {option} draws fresh noise at its steps, so equal initial noise would not give equal images"
    else:
        near = difflib.get_close_matches(option, SCHEDULERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
    require(option in SCHEDULERS, "scheduler", option, f"one of {', '.join(SCHEDULERS)}{hint}")


def make_scheduler(option: str, config: Any) -> Any:
    """The chosen diffusers scheduler on the noise schedule of `config`, that of the pipeline's own scheduler.

    Raises `ModelError` where it cannot follow that schedule.
    """
    import diffusers

    name, settings = SCHEDULERS[option]
    scheduler_class = getattr(diffusers, name)
    rescaled = "rescale_betas_zero_snr"
    if config.get(rescaled) and rescaled not in inspect.signature(scheduler_class).parameters:
        raise ModelError(
            f"scheduler={option} has no schedule with zero terminal SNR, which this model was trained on: choose ddim, "
            "euler, dpmpp_2m or unipc."
        )
    return scheduler_class.from_config(config, **settings)


def check_deterministic(scheduler: Any) -> None:
    """Raises `ModelError` for a diffusers scheduler that may draw noise of its own."""
    name = type(scheduler).__name__
    # A config made from that of another class keeps settings that mean nothing to this one.
    has_algorithms = "algorithm_type" in inspect.signature(type(scheduler)).parameters
    algorithm = scheduler.config.algorithm_type if has_algorithms else ""
    if name not in DETERMINISTIC or algorithm.startswith("sde"):
        setting = algorithm and f" with algorithm_type={algorithm}"
        raise ModelError(
            f"{name}{setting} may draw noise of its own, so equal noise need not give equal images: set the pipeline's "
            f"scheduler to a deterministic one of {', '.join(DETERMINISTIC)}."
        )
