"""distil: a model of many guided steps -> a student of few steps without guidance, a diffusers folder or LoRA."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig
from goldennoise.stages.model_training import Task, estimated, trained
from goldennoise.stages.objective import ObjectiveOptions
from goldennoise.store.artifacts import Artifact
from goldennoise.training.denoiser.options import DistilOptions

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate
    from goldennoise.training.denoiser.base import DenoiserLoss
    from goldennoise.training.denoiser.networks import Denoiser


@dataclass(frozen=True, kw_only=True)
class Config(DistilOptions, ObjectiveOptions):
    """What to learn from and how."""

    kind: str = "distil"
    """Of this stage."""


def run(config: RunConfig) -> Artifact:
    """See `trained`; the guidance folded in is that of the model. Raises `ModelError` for a distilled model."""
    return trained(config, _task(config))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """See `stages.dry_run`."""
    return estimated(config, _task(config), ahead)


def _task(config: RunConfig) -> Task:
    def begin(model: Any) -> "tuple[Denoiser, DenoiserLoss]":
        from goldennoise.training.denoiser.consistency import ConsistencyLoss
        from goldennoise.training.denoiser.networks import begun_student, teacher

        frozen = teacher(model)
        student = begun_student(model, config.stage, config.seed)
        return student, ConsistencyLoss(frozen, student.prediction, config.stage)

    folded = {"guidance": config.model.guidance, "negative_prompt": config.model.negative_prompt}
    # The student with gradients and as its moving average, and the teacher with and without the prompt.
    return Task(begin, folded, "consistency error", passes=4)
