"""Training a denoiser: data, networks and Lightning trainer put together."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from goldennoise.store.files import whole
from goldennoise.training.denoiser.base import DenoiserLoss
from goldennoise.training.denoiser.data import LatentData, TrainingData
from goldennoise.training.denoiser.module import DenoiserTraining
from goldennoise.training.denoiser.networks import Denoiser, set_weights, write
from goldennoise.training.denoiser.validation import validation_errors
from goldennoise.training.engine.callbacks import History
from goldennoise.training.engine.checkpoints import Last
from goldennoise.training.engine.options import WORK
from goldennoise.training.engine.trainer import Course, Setting, fit


@dataclass(frozen=True)
class Training:
    """A denoiser to train. folder: gets the pipeline, training.csv, validation.parquet and work/."""

    denoiser: Denoiser
    loss: DenoiserLoss
    data: TrainingData
    folder: Path
    seed: int = 0
    setting: Setting = field(default_factory=Setting)


@dataclass(frozen=True)
class Counts:
    """What was learnt from, and what came out. val_error: mean of validation.parquet."""

    images: int
    validation_images: int
    steps: int
    parameters: int
    val_error: float

    def as_record(self) -> dict[str, float]:
        """As counts of an artifact."""
        return asdict(self)


def train_denoiser(training: Training) -> Counts:
    """Train, and write the pipeline with the moving average of its weights, and validation.parquet, by rank 0.

    Called again with the same folder, a killed training goes on from its last checkpoint, and ends with the same
    weights bit for bit on a CPU.
    Raises `GoldenNoiseError` for a loss that is not finite.
    """
    denoiser, loss, setting, folder = training.denoiser, training.loss, training.setting, training.folder
    options = loss.options
    module = DenoiserTraining(denoiser, loss, training.data, training.seed)
    checkpoints = Last(folder / WORK)
    resumable = setting.processes.from_first(lambda: {"path": checkpoints.resumable()})["path"]
    data = LatentData(training.data, loss, training.seed, setting.num_workers)
    num_epochs = -(-options.num_steps // options.save_every_steps)
    course = Course(folder / WORK, num_epochs, options.precision, options.num_steps)
    fit(module, data, [History(folder / "training.csv"), checkpoints], course, setting, resumable)

    def finish() -> dict[str, float]:
        module.to(setting.device)
        set_weights(module, module.average)
        module.eval()
        table = validation_errors(module.model, module.told, module.data, module.loss)
        with whole(folder / "validation.parquet") as beside:
            table.to_parquet(beside, index=False)
        write(denoiser, folder, options.lora_rank)
        parameters = sum(weight.numel() for weight in module.average.values())
        held_out, error = training.data.num_held_out, float(table["error"].mean())
        return Counts(training.data.num_training, held_out, options.num_steps, parameters, error).as_record()

    return Counts(**setting.processes.from_first(finish))
