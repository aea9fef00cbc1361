"""Training a network on noise pairs: data, network and Lightning trainer put together."""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback

from goldennoise.data.pairs.reader import PairReader
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks import network_config
from goldennoise.networks.base import IMAGES, Architecture, NetworkInputs
from goldennoise.networks.network import GoldenNetwork, blank_network, seeded_network
from goldennoise.runtime.seeding import derive_seed
from goldennoise.store.tensors import mismatch
from goldennoise.training.engine.callbacks import History
from goldennoise.training.engine.checkpoints import LastAndBest, read_checkpoint
from goldennoise.training.engine.data import PairData, PairDataset, chosen_rows
from goldennoise.training.engine.frozen_inputs import ComputedInputs, Inputs, open_frozen_inputs, write_frozen_inputs
from goldennoise.training.engine.module import NoiseTraining
from goldennoise.training.engine.options import WORK, TrainingOptions
from goldennoise.training.engine.samples import Examples, SampleImages
from goldennoise.training.engine.trainer import Course, Setting, fit
from goldennoise.training.objectives.base import Objective


@dataclass(frozen=True)
class TrainingCounts:
    """What was learnt from, and what came out; losses are means of the objective over the validation pairs."""

    num_pairs: int
    num_validation_pairs: int
    num_prompts: int
    num_epochs: int
    best_epoch: int
    val_loss: float
    identity_val_loss: float
    num_parameters: int

    def as_record(self) -> dict[str, float]:
        """As counts of an artifact: pairs, prompts, epochs, ..."""
        return {name.removeprefix("num_"): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Training:
    """A network to train: what it is, what it learns from and what for.

    model: the frozen model that the pairs of `reader` are for; only the first process needs it, and with
    options.frozen_inputs "compute" every one. folder: gets training.csv, samples/ and work/.
    """

    reader: PairReader
    model: DiffusionModel | None
    architecture: Architecture
    options: TrainingOptions
    objective: Objective
    folder: Path
    seed: int = 0
    setting: Setting = field(default_factory=Setting)


def train_npnet(training: Training, init: GoldenNetwork | None = None) -> tuple[GoldenNetwork, TrainingCounts]:
    """The network of the epoch with the lowest validation loss, on the CPU in eval mode.

    init: a network to begin with, None for new weights. Raises `ConfigError` for one with other tensors.
    Called again with the same folder, a killed training goes on from its last complete epoch, and ends with the same
    weights bit for bit on a CPU.
    Raises `DataError` for too few pairs, `GoldenNoiseError` for a loss that is not finite.
    """
    data, processes = _prepared(training), training.setting.processes
    num_tokens, text_dim = data.dataset.inputs.prompt_embeds.shape[1:]
    config = network_config(training.architecture, training.reader.latent_shape, num_tokens, text_dim)
    if training.architecture.needs_model:
        assert training.model is not None, "every process has it"
        config = config.on(training.model)
    network = seeded_network(config, derive_seed(training.seed, "npnet weights", ""))
    if init is None:
        # The same on every process, because they have the same data.
        network.fit_to(data.prompt_embeds, data.displacements)
    else:
        _begin_with(network, init)
    module = NoiseTraining(network, training.objective, training.options, training.seed)
    module.identity_loss = _identity_loss(data, module, training.setting.device)
    checkpoints = LastAndBest(training.folder / WORK)
    resumable = processes.from_first(lambda: {"path": checkpoints.resumable()})["path"]
    options, is_deterministic = training.options, training.objective.is_deterministic
    course = Course(
        training.folder / WORK, options.num_epochs, options.precision, deterministic=is_deterministic or "warn"
    )
    fit(module, data, [*_callbacks(training, data), checkpoints], course, training.setting, resumable)
    best = _best(config, checkpoints.best)
    # The first may remove the file once all have read it.
    processes.on_all(lambda: None)
    return best, _counts(data, module, checkpoints)


def _begin_with(network: GoldenNetwork, init: GoldenNetwork) -> None:
    weights = init.state_dict()
    ours, theirs = (asdict(each.config.architecture) for each in (network, init))
    others = [name for name in ours if name not in network.config.architecture.free and ours[name] != theirs.get(name)]
    problems = ", ".join(f"{name}={theirs.get(name)} instead of {ours[name]}" for name in others)
    if problems := problems or mismatch(network.state_dict(), weights):
        raise ConfigError(
            f"stage.init_network is of another architecture or model than npnet=...: it is {problems}; give npnet the "
            "options that it was trained with"
        )
    network.load_state_dict(weights)


def _callbacks(training: Training, data: PairData) -> list[Callback]:
    """What is written of the training while it goes."""
    options, setting, folder = training.options, training.setting, training.folder
    callbacks: list[Callback] = [History(folder / "training.csv")]
    # From what a network predicts as an image nothing is sampled.
    every = options.sample_every_epochs if training.architecture.output != IMAGES else 0
    if training.model is not None and setting.processes.is_first and options.num_samples and every:
        examples = _examples(data, training.model, options.num_samples)
        callbacks.append(SampleImages(training.model, examples, folder / "samples", every))
    return callbacks


@torch.no_grad()
def _identity_loss(data: PairData, module: NoiseTraining, device: torch.device) -> float:
    """Validation loss of a network that returns the source noise: what the network has to beat."""
    module.eval().to(device)
    losses = [
        module.objective.source_losses(module.network, batch.to(device)).cpu().double()
        for batch in data.validation_batches()
    ]
    module.train()
    return float(torch.cat(losses).mean())


def _prepared(training: Training) -> PairData:
    """The data of all processes."""
    reader, options, setting = training.reader, training.options, training.setting
    rows = chosen_rows(reader, options.keep_rejected)
    dataset = PairDataset(reader, rows, _inputs(training, rows))
    return PairData(dataset, options, training.seed, setting.num_workers, training.objective.group_size)


def _inputs(training: Training, rows: np.ndarray) -> Inputs:
    """Computed for each batch, or on the disk, where the first process has written them."""
    reader, model, setting = training.reader, training.model, training.setting
    folder, computes = training.folder / WORK / "inputs", training.options.frozen_inputs == "compute"

    def prepare() -> dict[str, object]:
        assert model is not None, "the first process has the model"
        if model.latent_shape != reader.latent_shape:
            raise ModelError(
                f"{model.name} makes latents {model.latent_shape}, and the pairs hold {reader.latent_shape}: train "
                "with the model they were collected with"
            )
        if computes:
            shutil.rmtree(folder, ignore_errors=True)  # of a run that wrote them
            return {}
        with torch.no_grad():
            write_frozen_inputs(folder, reader, rows, model, training.architecture, setting.prompts_at_once)
        return {}

    setting.processes.from_first(prepare)
    if not computes:
        return open_frozen_inputs(folder, reader, rows)
    assert model is not None, "every process has it"
    return ComputedInputs(reader, rows, model, training.architecture, setting.prompts_at_once)


def _examples(data: PairData, model: DiffusionModel, num: int) -> Examples:
    """The first validation pairs of different prompts."""
    index = data.dataset.reader.index.iloc[data.dataset.rows[data.validation_rows]]
    first = data.validation_rows[np.flatnonzero(~index["prompt_id"].duplicated())[:num]]
    source, _ = data.dataset.reader.noise(data.dataset.rows[first])
    frozen = tuple(part.to(model.device) for part in data.dataset.inputs.frozen_of(first))
    prompts = data.dataset.reader.index["prompt"].iloc[data.dataset.rows[first]].tolist()
    with torch.no_grad():
        return Examples(prompts, source.to(model.device, model.dtype), model.encode(prompts), frozen)


def _best(config: NetworkInputs, path: Path) -> GoldenNetwork:
    state = read_checkpoint(path)["state_dict"]
    network = blank_network(config)
    network.load_state_dict({name.removeprefix("network."): weight for name, weight in state.items()})
    return network.eval()


def _counts(data: PairData, module: NoiseTraining, checkpoints: LastAndBest) -> TrainingCounts:
    return TrainingCounts(
        num_pairs=len(data.dataset.rows),
        num_validation_pairs=len(data.validation_rows),
        num_prompts=data.num_prompts,
        num_epochs=module.options.num_epochs,
        best_epoch=checkpoints.best_epoch,
        val_loss=checkpoints.best_loss,
        identity_val_loss=module.identity_loss,
        num_parameters=sum(weight.numel() for weight in module.network.parameters()),
    )
