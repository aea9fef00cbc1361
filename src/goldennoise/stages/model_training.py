"""What train_model and distil share: images -> latents -> a trained denoiser -> a model artifact."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise.config.benchmarks import benchmark_sets
from goldennoise.config.compose import RunConfig
from goldennoise.data.captioned_images import TABLE
from goldennoise.data.prompts import refuse_shared, shared_with
from goldennoise.data.training_images import FolderImages, RenderedImages, TrainingImages
from goldennoise.diffusion.description import DENOISER
from goldennoise.diffusion.evaluations import Amount
from goldennoise.diffusion.identity import model_identity
from goldennoise.errors import ConfigError
from goldennoise.generation.loader import Loader
from goldennoise.runtime.processes import Processes
from goldennoise.runtime.units import make_units
from goldennoise.stages.estimate import Size
from goldennoise.stages.job import Job, opened
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.drafts import Lock
from goldennoise.store.files import write_json
from goldennoise.store.identity import deciding, fingerprint
from goldennoise.store.record import read_json
from goldennoise.training.denoiser.options import ModelTraining
from goldennoise.training.engine.options import WORK

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate
    from goldennoise.training.denoiser.base import DenoiserLoss
    from goldennoise.training.denoiser.networks import Denoiser

FAMILIES = ("stable_diffusion", "stable_diffusion_xl")
"""Kinds of models whose UNets are trained."""
SAMPLING = ("num_steps", "guidance", "timesteps", "tone", "dtype", "negative_prompt")
"""Options of a model that decide how images are sampled, and nothing of its weights and latents."""
OUTCOME = "training.json"
"""Written when the model is: a run killed between this and the commit has nothing to train any more."""


@dataclass(frozen=True)
class Task:
    """What a stage trains a model for.

    begin: from the model, in float32 on its device, what is trained and its loss; before any image is encoded.
    identity: what decides the result beside the stage, the images, the model and the seed. error: name of the error on
    held-out images. passes: of the UNet for each image that a step learns from.
    """

    begin: "Callable[[Any], tuple[Denoiser, DenoiserLoss]]"
    identity: Mapping[str, Any]
    error: str
    passes: int = 1


def trained(config: RunConfig, task: Task) -> Artifact:
    """The model artifact of this config: complete already, resumed, or trained, by all processes of the run.

    Raises `ConfigError` for a model whose denoiser is none to train, `DataError` for images that cannot be read
    and for captions that are prompts of a benchmark.
    """
    _refuse_unfit(config)
    images = _images(config.stage)
    with opened(config, "model", _loader(config)) as job:
        if done := job.begin(lambda _: _identity(config, images, task)):
            return done
        if not job.executor.decide(lambda: _is_trained(job.path, job.damaged)):
            _train(job, images, task)
        return job.finish(lambda draft: _finish(draft, task.error))


def estimated(config: RunConfig, task: Task, ahead: "Ahead") -> "Estimate":
    """Of the model artifact, see `stages.dry_run`."""
    _refuse_unfit(config)
    stage, images = config.stage, _images(config.stage)
    done = ahead.complete("model", lambda _: _identity(config, images, task))
    num = len(images.captions)
    seen = stage.num_steps * stage.batch_size
    counts = {"images": num - images.num_held_out, "held-out images": images.num_held_out, "steps": stage.num_steps}
    notes = {"passes of the UNet": f"{task.passes * seen:,} in training, {seen:,} of them there and back"}
    notes["latents"] = f"{ahead.latents(num, 4)}; in outputs/latents, shared by all trainings on these images"
    return ahead.estimate("model", done, counts, storage=_stored(config, ahead), memory=ahead.memory, notes=notes)


def _stored(config: RunConfig, ahead: "Ahead") -> "Size":
    numbers = ahead.model.parameters
    if getattr(config.stage, "unet", None) or not numbers or DENOISER in numbers:
        return Size(None, "the parameters of its networks are counted when they are built")
    return Size(Amount.exactly(4 * sum(numbers.values())), "the networks in float32; checkpoints while it trains")


def _images(stage: ModelTraining) -> TrainingImages:
    """Raises `DataError` for a folder that cannot be read, or whose captions are prompts of a benchmark."""
    if stage.images == "renders":
        return RenderedImages(stage.num_images, stage.num_validation)
    images = FolderImages(stage.images, stage.num_validation)
    refuse_shared(
        str(images.folder / TABLE), shared_with(images.captions, benchmark_sets()), "delete their lines there"
    )
    return images


def _refuse_unfit(config: RunConfig) -> None:
    """Raise ConfigError for what cannot be trained, before anything is read or loaded."""
    stage, kind = config.stage, config.model.kind
    if kind not in FAMILIES:
        raise ConfigError(
            f"model.kind={kind}: {stage.kind} trains UNets on noise schedules, those of {' and '.join(FAMILIES)}; "
            "choose such a model"
        )
    if stage.batch_size < config.compute.devices:
        raise ConfigError(
            f"stage.batch_size={stage.batch_size}: {config.compute.devices} devices share a batch; set at least "
            f"{config.compute.devices}"
        )


def _loader(config: RunConfig) -> Loader:
    """Of the model in the number format and on the device that it is trained in, whole."""
    model, compute = replace(config.model, dtype="float32"), replace(config.compute, offload=False, compile=False)
    return Loader(replace(config, model=model, compute=compute))


def _identity(config: RunConfig, images: TrainingImages, task: Task) -> dict[str, Any]:
    options = deciding(config.stage)
    for name in ("images", "num_images"):
        del options[name]
    return {
        "stage": options | {"images": images.digest},
        "model": _weights_of(config),
        **task.identity,
        "seed": config.seed,
    }


def _weights_of(config: RunConfig) -> dict[str, Any]:
    return {name: value for name, value in model_identity(config.model).items() if name not in SAMPLING}


def _is_trained(folder: Path, damaged: Sequence[str]) -> bool:
    """Whether only the commit is left to do. damaged: files that were removed."""
    if damaged:
        # A run that is killed now has to train again, too: the next one is told of no damage.
        (folder / OUTCOME).unlink(missing_ok=True)
    return (folder / OUTCOME).is_file()


def _train(job: Job, images: TrainingImages, task: Task) -> None:
    # Lightning takes seconds to load: only now is it certain that there is something to train.
    from goldennoise.training.denoiser.data import Captions, TrainingData
    from goldennoise.training.denoiser.fit import Training, train_denoiser
    from goldennoise.training.denoiser.latents import LatentEncoding, Latents, cut
    from goldennoise.training.engine import loggers
    from goldennoise.training.engine.trainer import Setting

    config, processes, folder = job.config, job.processes, job.path
    model: Any = job.loader.model
    # Before any image is encoded: here shows what does not fit the model.
    denoiser, loss = task.begin(model)
    parts = cut(len(images.captions), job.stage.images_per_part)
    latents = _latents_folder(config, images)
    with _alone(processes, latents):
        encoding = LatentEncoding(job.loader, images, latents, config.compute.batch_size)
        make_units(parts, latents, encoding, job.executor, (config.stage.kind, "images"))
    data = TrainingData(Latents(latents, parts), Captions.of(model, images.captions), images.num_held_out)
    version = job.reference.removeprefix("model/")
    log_folder = Path(config.outputs) / "logs" / config.stage.kind / version
    with loggers.opened(config.logger, log_folder, version, processes.is_first) as chosen:
        setting = Setting(model.device, processes, config.compute.num_workers, loggers=chosen)
        training = Training(denoiser, loss, data, folder, config.seed, setting)
        counts = train_denoiser(training)
    processes.from_first(lambda: write_json(folder / OUTCOME, counts.as_record()))


def _latents_folder(config: RunConfig, images: TrainingImages) -> Path:
    """Of all trainings on these images with this model, whatever they learn."""
    encoded = {"model": _weights_of(config), "images": images.digest}
    return Path(config.outputs) / "latents" / fingerprint(encoded, [])[:16]


@contextmanager
def _alone(processes: Processes, folder: Path) -> Iterator[None]:
    """Wait until no other run writes to `folder`, and keep others waiting."""
    with ExitStack() as held:

        def lock() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(Lock(folder / ".lock", wait=True))

        processes.from_first(lock)
        yield


def _finish(draft: Draft, error: str) -> Artifact:
    """Checkpoints were for resuming only."""
    shutil.rmtree(draft.path / WORK, ignore_errors=True)
    counts = read_json(draft.path / OUTCOME)
    artifact = draft.commit(counts)
    print(
        f"{artifact.reference}: {counts['steps']} steps on {counts['images']} images, {error} "
        f"{counts['val_error']:.5g} on {counts['validation_images']} held-out ones"
    )
    return artifact
