"""The source noise as it is, on noise levels that a network predicts for each image: TPDM (arXiv 2412.01243)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ModelError, require
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.networks.time_predictor import CONFIG, TimePredictorConfig, read_config
from goldennoise.store.options import either, filled, number, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.plan import Schedule
    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools
    from goldennoise.networks.time_predictor.network import TimePredictor

LEVELS = "levels.json"
"""Beside the weights: the schedules of the validation prompts, and the one that is shared."""
DIFFERS = (
    "time_prediction ends every chain at noise level 0 exactly, and reads the tokens of transformers in raster order; "
    "the public code of arXiv 2412.01243 stops above 0, and scrambles them."
)


@dataclass(frozen=True)
class Config(MethodConfig):
    """A schedule artifact and how it is used. For models whose sampler is ddim or flow_euler."""

    artifact_kind: ClassVar[str] = "schedule"

    kind: str = "time_prediction"
    artifact: str | None = option(
        "schedule/shapes@latest", filled('a reference such as "schedule/shapes@latest"'), identity=False
    )
    """A trained time predictor, such as "schedule/shapes@latest"; null for an untrained one with the published bias."""
    mode: str = option("adaptive", either("adaptive", "shared", "shuffled"))
    """adaptive: the levels that the network predicts for the image. shared: the mean schedule of the validation
    prompts, for every image. shuffled: that of a validation prompt drawn at random, for each image another."""
    max_steps: int | None = option(None, number(least=1))
    """Of mode adaptive: steps at most; null for as many as in training, 28 for the untrained one."""
    min_level: float | None = option(None, number(above=0, below=1))
    """Of mode adaptive: a level below it is the end, in (0, 1); null for that of training, 0.01 for the untrained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.artifact is not None or self.mode == "adaptive"
        require(fits, "mode", self.mode, "adaptive without an artifact, which has the other schedules")

    def networks(self) -> tuple[str, ...]:
        return () if self.artifact is None else (self.artifact,)

    def image_evaluations(self, sampling: Sampling) -> Amount:
        """Bounds where the network decides; without an upper one where no artifact says it."""
        return self._steps(None if self.artifact is None else sampling.networks.get(self.artifact)) * sampling.passes()

    def _steps(self, folder: Path | None) -> Amount:
        """Of an image. folder: of the artifact, None where it does not exist."""
        if self.mode == "adaptive" and self.max_steps is not None:
            return Amount(1, self.max_steps)
        if self.artifact is None:
            return Amount(1, TimePredictorConfig().max_steps)
        if folder is None:
            return Amount(1, None)
        if self.mode == "adaptive":
            return Amount(1, read_config(folder / CONFIG).max_steps)
        steps = [len(levels) - 1 for levels in read_levels(folder)["shared" if self.mode == "shared" else "chosen"]]
        return Amount(min(steps), max(steps))


class TimePrediction(Method):
    """folder: of the artifact, None for an untrained network."""

    def __init__(self, config: Config, folder: Path | None = None) -> None:
        self.config, self.folder = config, folder
        self._network: TimePredictor | None = None

    def prepare(self, model: "DiffusionModel") -> None:
        """Raises `ModelError` for a sampler of other steps, a network of another width, and a compiled denoiser."""
        model.require_walked()
        if self.config.mode == "adaptive" and (width := self._predictor(model).config.width) != model.feature_width:
            raise ModelError(
                f"This time predictor reads features of width {width}, and {model.name} has {model.feature_width}: "
                "use the one trained for this model."
            )

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":  # noqa: ARG002
        return batch.source

    def plan(self, model: "DiffusionModel", batch: "SampleBatch") -> SamplingPlan:
        """Raises `ModelError` for a network of another width or that cannot be read."""
        return SamplingPlan(batch.source, schedule=self._schedule(model, batch))

    def _schedule(self, model: "DiffusionModel", batch: "SampleBatch") -> "Schedule":
        from goldennoise.diffusion.schedules.fixed import ByRow, FixedSchedule
        from goldennoise.diffusion.schedules.learned import LearnedSchedule

        config = self.config
        if config.mode == "adaptive":
            return LearnedSchedule(self._predictor(model), config.max_steps, config.min_level)
        assert self.folder is not None, "a Config without an artifact is adaptive"
        levels = read_levels(self.folder)
        if config.mode == "shared":
            return FixedSchedule(levels["shared"][0])
        drawn = [seed % len(levels["chosen"]) for seed in batch.derived_seeds("shuffled")]
        return ByRow(tuple(FixedSchedule(levels["chosen"][row]) for row in drawn))

    def _predictor(self, model: "DiffusionModel") -> "TimePredictor":
        from goldennoise.networks.time_predictor.checkpoint import load_time_predictor
        from goldennoise.networks.time_predictor.network import new_predictor

        if self._network is None:
            if self.folder is None:
                self._network = new_predictor(TimePredictorConfig(model.feature_width), seed=0).eval()
            else:
                self._network = load_time_predictor(self.folder)
        return self._network


def read_levels(folder: Path) -> dict[str, list[tuple[float, ...]]]:
    """`LEVELS` of a schedule artifact: "shared", one schedule, and "chosen", those of the validation prompts."""
    try:
        content = json.loads((folder / LEVELS).read_text(encoding="utf-8"))
        found = {name: [tuple(map(float, levels)) for levels in content[name]] for name in ("shared", "chosen")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / LEVELS} cannot be read ({error}): train the schedule again.") from error
    if not found["shared"] or not found["chosen"]:
        raise ModelError(f"{folder / LEVELS} holds no schedules: train the schedule again.")
    return found


def build(config: Config, tools: "MethodTools") -> TimePrediction:
    """Raises `ArtifactError` when there is no such artifact."""
    if config.artifact is None:
        return TimePrediction(config)
    return TimePrediction(config, tools.artifact_folder("schedule", config.artifact))
