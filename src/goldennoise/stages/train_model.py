"""train_model: captioned images -> a text-to-image model, a diffusers folder that every other stage takes."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ConfigError
from goldennoise.stages.model_training import Task, estimated, trained
from goldennoise.stages.objective import ObjectiveOptions
from goldennoise.store.artifacts import Artifact
from goldennoise.training.denoiser.options import DenoiserOptions

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate
    from goldennoise.training.denoiser.base import DenoiserLoss
    from goldennoise.training.denoiser.networks import Denoiser


@dataclass(frozen=True, kw_only=True)
class Config(DenoiserOptions, ObjectiveOptions):
    """What to learn from and how."""

    kind: str = "train_model"
    """Of this stage."""


def run(config: RunConfig) -> Artifact:
    """See `trained`. Raises `ConfigError` for a model that is not trained here."""
    return trained(config, _task(config))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """See `stages.dry_run`."""
    return estimated(config, _task(config), ahead)


def _task(config: RunConfig) -> Task:
    if config.stage.train_text_encoder and config.model.kind == "stable_diffusion_xl":
        raise ConfigError(
            "stage.train_text_encoder=true: the text encoders of stable_diffusion_xl stay as they are; set it to false"
        )

    def begin(model: Any) -> "tuple[Denoiser, DenoiserLoss]":
        from goldennoise.training.denoiser.loss import NoiseLevelLoss
        from goldennoise.training.denoiser.networks import begun

        denoiser = begun(model, config.stage, config.seed)
        alpha_bars = denoiser.model.alpha_bars
        return denoiser, NoiseLevelLoss(alpha_bars, denoiser.prediction, config.noise_levels, config.stage)

    return Task(begin, {"noise_levels": asdict(config.noise_levels)}, "denoising error")
