"""The networks that a training moves: what they begin with, and how the pipeline they belong to is written."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, LCMScheduler, TCDScheduler, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from goldennoise.diffusion.families.latent_unet import LatentUNet
from goldennoise.diffusion.schedules.schedulers import DISTILLED, make_scheduler
from goldennoise.errors import ConfigError, ModelError, require, shortened
from goldennoise.runtime.seeding import seeded
from goldennoise.training.denoiser.options import DenoiserOptions, DistilOptions

ATTENTION = ["to_k", "to_q", "to_v", "to_out.0"]
"""Layers that a LoRA adapts, as in diffusers' own training of one."""


@dataclass(frozen=True)
class Denoiser:
    """A pipeline to train. model: it, as the rest of the project runs it. prediction: what its UNet predicts."""

    pipe: Any
    model: LatentUNet
    prediction: str

    @property
    def text_encoders(self) -> list[nn.Module]:
        return [getattr(self.pipe, name) for name in self.model.text_encoders]


def begun(model: LatentUNet, options: DenoiserOptions, seed: int) -> Denoiser:
    """The pipeline of `model` with the networks that training begins with, those to be trained with gradients.

    New weights come from one generator: first those of the text encoder, then those of the UNet.
    Raises `ConfigError` for sizes that no UNet can have, `ModelError` for a UNet that takes more than noise and text.
    """
    pipe: Any = model.pipeline
    _refuse_steered(pipe)
    with seeded(seed):
        if options.init == "scratch":
            if options.train_text_encoder:
                pipe.text_encoder = type(pipe.text_encoder)(pipe.text_encoder.config).to(model.device)
            pipe.unet = _new_unet(pipe.unet, options.unet or {}).to(model.device)
        _give_gradients(pipe.unet, options.lora_rank)
    pipe.text_encoder.requires_grad_(options.train_text_encoder)
    prediction = _set_schedule(pipe, options)
    return Denoiser(pipe, _behind(model, pipe), prediction)


def begun_student(model: LatentUNet, options: DistilOptions, seed: int) -> Denoiser:
    """As `begun`, with the weights of `model` and the scheduler of a student; the text encoders stay.

    Raises `ModelError` for a model that is distilled already, `ConfigError` for steps that do not lie on those of the
    teacher.
    """
    pipe: Any = model.pipeline
    _refuse_steered(pipe)
    if model.is_distilled:
        raise ModelError(
            f"{model.name} was distilled already (its scheduler has {DISTILLED}): choose the model it was made from"
        )
    with seeded(seed):
        _give_gradients(pipe.unet, options.lora_rank)
    config = make_scheduler("lcm", pipe.scheduler.config).config
    own, solver = options.student_steps, options.solver_steps
    _check_steps(own, solver, config.num_train_timesteps)
    student = Denoiser(pipe, _behind(model, pipe), config.prediction_type)
    if own is None:
        pipe.scheduler = LCMScheduler.from_config(config, **{DISTILLED: solver})
    else:
        # Its steps begin at the last timestep of training, whatever the teacher's spacing.
        pipe.scheduler = TCDScheduler.from_config(config, timestep_spacing="trailing", **{DISTILLED: own})
    return student


def _check_steps(own: int | None, solver: int, num_train: int) -> None:
    """Raise `ConfigError` unless the teacher's steps are of one length and end at the ends of the student's."""
    divides = f"a divisor of {num_train}, the timesteps of training"
    require(num_train % solver == 0, "stage.solver_steps", solver, divides)
    if own is None:
        return
    require(num_train % own == 0, "stage.student_steps", own, divides)
    fitting = [steps for steps in range(own, num_train + 1, own) if num_train % steps == 0]
    words = f"one of {', '.join(map(str, fitting))} with stage.student_steps={own}"
    require(solver in fitting, "stage.solver_steps", solver, words)


def teacher(model: LatentUNet) -> LatentUNet:
    """A frozen copy of a model's UNet behind the rest of its pipeline; call it before the UNet is trained."""
    pipe: Any = copy.copy(model.pipeline)
    pipe.unet = copy.deepcopy(pipe.unet).eval().requires_grad_(False)
    return _behind(model, pipe, model.negative_prompt)


def _behind(model: LatentUNet, pipe: Any, negative_prompt: str | None = None) -> LatentUNet:
    """The networks of `pipe` as `model` runs them."""
    told: dict[str, Any] = {"name": model.name, "num_steps": model.num_steps, "guidance": model.guidance}
    return type(model)(pipe, negative_prompt=negative_prompt, **told)


def _give_gradients(unet: Any, lora_rank: int | None) -> None:
    """To all weights of a UNet, or to those of a new LoRA alone."""
    if lora_rank is None:
        unet.requires_grad_(True)
        return
    lora = LoraConfig(r=lora_rank, lora_alpha=lora_rank, init_lora_weights="gaussian", target_modules=ATTENTION)
    unet.add_adapter(lora)


def _refuse_steered(pipe: Any) -> None:
    config = pipe.unet.config
    needed = "the guidance scale" if config.time_cond_proj_dim is not None else None
    if config.in_channels != pipe.vae.config.latent_channels:
        needed = "a mask"
    if needed is not None:
        raise ModelError(
            f"The UNet of this model takes {needed} at every step, which captioned images do not have: choose a "
            "model.path whose UNet takes noise and text alone"
        )


def _new_unet(unet: Any, sizes: dict[str, Any]) -> Any:
    try:
        return UNet2DConditionModel.from_config({**unet.config, **sizes})
    # For sizes that do not fit each other diffusers raises whatever its first wrong step raises.
    except Exception as error:
        reason = shortened((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise ConfigError(
            f"stage.unet={shortened(sizes)}: no UNet can be built so ({reason}); choose sizes that fit each other"
        ) from error


def _set_schedule(pipe: Any, options: DenoiserOptions) -> str:
    """Gives the pipeline the scheduler that it is trained and written with; what the UNet predicts."""
    config = pipe.scheduler.config
    if options.zero_terminal:
        pipe.scheduler = DDIMScheduler.from_config(
            config,
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
            thresholding=False,
        )
        return "v_prediction"
    prediction = options.prediction or config.prediction_type
    pipe.scheduler = type(pipe.scheduler).from_config(config, prediction_type=prediction)
    return prediction


def write(denoiser: Denoiser, folder: Path, lora_rank: int | None) -> None:
    """The pipeline as diffusers loads it from `folder`; a LoRA also beside it, and merged into the pipeline."""
    pipe = denoiser.pipe
    if lora_rank is not None:
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.unet))
        type(pipe).save_lora_weights(folder, unet_lora_layers=layers)
        pipe.unet.fuse_lora()
        pipe.unet.unload_lora()
    pipe.save_pretrained(folder)


def trained_weights(module: nn.Module) -> dict[str, Tensor]:
    """Name -> weight, of all that have gradients."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


@torch.no_grad()
def set_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights by name into those that `module` trains."""
    for name, weight in trained_weights(module).items():
        weight.copy_(weights[name])
