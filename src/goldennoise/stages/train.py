"""train: pairs -> an NPNet, trained to predict their golden noise in one pass."""

import shutil
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise import diffusion
from goldennoise.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.diffusion.identity import differences, model_identity
from goldennoise.errors import ArtifactError, require
from goldennoise.provenance import write_json
from goldennoise.records import read_json
from goldennoise.training.options import WORK, TrainingOptions
from goldennoise.training.processes import Processes, joined

if TYPE_CHECKING:
    from goldennoise.config import RunConfig

OUTCOME = "training.json"
"""Written when the network is: a run killed between this and the commit has nothing to train any more."""


@dataclass(frozen=True)
class Input:
    """pairs: the artifact to learn from, for example "pairs/shapes@latest"."""

    kind: str = "train"
    pairs: str = "pairs/shapes@latest"


@dataclass(frozen=True)
class Config(TrainingOptions, Input):
    """What to learn from and how."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.pairs), "pairs", repr(self.pairs), "the name of a pairs artifact")


def run(config: "RunConfig") -> Artifact:
    """The npnet artifact of this config: complete already, resumed, or trained, by all processes of the run.

    Raises `ArtifactError` for pairs that are damaged or of another model.
    """
    store = ArtifactStore(config.outputs)
    with joined(config.compute) as processes, ExitStack() as held:
        drafts: list[Draft] = []

        def begin() -> dict[str, str]:
            pairs = _pairs(config, store)
            outcome = _begin(config, store, pairs)
            if isinstance(outcome, Artifact):
                return {"complete": outcome.reference}
            drafts.append(held.enter_context(outcome))
            return {"folder": str(outcome.path), "pairs": str(pairs.path), "reference": outcome.reference}

        task = processes.from_first(begin)
        if "complete" in task:
            if processes.is_first:
                print(f"{task['complete']} is complete.")
            return store.resolve(task["complete"], "npnet")
        if not processes.from_first(lambda: {"trained": (Path(task["folder"]) / OUTCOME).is_file()})["trained"]:
            _train(config, processes, Path(task["folder"]), Path(task["pairs"]), task["reference"])
        processes.from_first(lambda: _finish(drafts[0]))
        return store.resolve(task["reference"], "npnet")


def _pairs(config: "RunConfig", store: ArtifactStore) -> Artifact:
    pairs = store.resolve(config.stage.pairs, "pairs")
    changes = differences(pairs.record["identity"]["model"], config.model)
    if changes:
        raise ArtifactError(
            f"{pairs.reference} holds pairs of another model ({'; '.join(changes)}): train with that model, "
            "or choose other pairs with stage.pairs"
        )
    pairs.check()
    return pairs


def _begin(config: "RunConfig", store: ArtifactStore, pairs: Artifact) -> Artifact | Draft:
    options = {key: value for key, value in asdict(config.stage).items() if key != "pairs"}
    identity = {
        "stage": options,
        "npnet": asdict(config.npnet),
        "model": model_identity(config.model),
        "seed": config.seed,
    }
    outcome = store.begin("npnet", config.name, config.version, identity, [pairs], asdict(config))
    if isinstance(outcome, Draft) and outcome.damaged:
        (outcome.path / OUTCOME).unlink(missing_ok=True)
    return outcome


def _train(config: "RunConfig", processes: Processes, folder: Path, pairs: Path, reference: str) -> None:
    # Lightning takes seconds to load: only now is it certain that there is something to train.
    from goldennoise.npnet.checkpoint import save_npnet
    from goldennoise.pairs.reader import PairReader
    from goldennoise.training import loggers
    from goldennoise.training.fit import Setting, train_npnet

    device = config.compute.torch_device()
    version = reference.removeprefix("npnet/")
    log_folder = Path(config.outputs) / "logs" / "train" / version
    model = diffusion.component(config.model.kind).build(config.model, device) if processes.is_first else None
    with loggers.opened(config.logger, log_folder, version, processes.is_first) as chosen:
        setting = Setting(device, processes, config.compute.num_workers, config.compute.batch_size, chosen)
        reader = PairReader(pairs)
        network, counts = train_npnet(reader, model, config.npnet, config.stage, folder, config.seed, setting)
    if processes.is_first:
        record: dict[str, Any] = {"model": asdict(config.model), "pairs": config.stage.pairs, **counts.as_record()}
        save_npnet(network, folder, record)
        write_json(folder / OUTCOME, counts.as_record())


def _finish(draft: Draft) -> dict[str, Any]:
    """Checkpoints and frozen inputs were for resuming only."""
    shutil.rmtree(draft.path / WORK, ignore_errors=True)
    counts = read_json(draft.path / OUTCOME)
    artifact = draft.commit(counts)
    print(
        f"{artifact.reference}: validation loss {counts['val_loss']:.5g} at epoch {counts['best_epoch']} of "
        f"{counts['epochs']}; predicting the source itself: {counts['identity_val_loss']:.5g}"
    )
    return {}
