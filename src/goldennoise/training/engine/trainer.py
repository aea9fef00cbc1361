"""The Lightning trainer that every training here runs in: devices, processes, checkpoints, quiet."""

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from goldennoise.runtime.compute import computes_natively
from goldennoise.runtime.processes import Processes
from goldennoise.training.engine.callbacks import SigtermAsBefore, TrainingProgress
from goldennoise.training.engine.checkpoints import AtomicCheckpoints
from goldennoise.training.engine.trained_module import TrainedModule

log = logging.getLogger(__name__)

# Named, because Lightning would otherwise guess: a single process in a batch job of many tasks is none of them.
ENVIRONMENTS: dict[str, type[ClusterEnvironment]] = {
    "none": LightningEnvironment,
    "torchrun": TorchElasticEnvironment,
    "srun": SLURMEnvironment,
}


@dataclass(frozen=True)
class Setting:
    """Where training runs. None of it changes what is learnt (beyond rounding)."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    processes: Processes = field(default_factory=Processes)
    num_workers: int = 0
    prompts_at_once: int = 32
    loggers: Sequence[Logger] = ()
    progress_bar: bool = True


@dataclass(frozen=True)
class Course:
    """How long a training is, and how it computes.

    folder: of its checkpoints. deterministic: "warn" where some gradients have no kernels of a fixed order on a GPU.
    """

    folder: Path
    num_epochs: int
    precision: str
    num_steps: int | None = None
    """Where the last epoch is shorter than the others; None where all are of one length."""
    deterministic: Literal[True, "warn"] = True


def fit(
    module: TrainedModule,
    data: LightningDataModule,
    callbacks: Sequence[Callback],
    course: Course,
    setting: Setting,
    resume: str | None,
) -> None:
    """Train `module` in place. resume: a checkpoint to go on from, None to begin."""
    processes = setting.processes
    if course.precision == "bf16-mixed" and not computes_natively("bfloat16", setting.device):
        log.warning("stage.precision=bf16-mixed: no instructions for it on this CPU; 32-true is 10 times as fast")
    with _quiet_lightning(), _deterministic_kernels():
        trainer = Trainer(
            accelerator={"cuda": "gpu"}.get(setting.device.type, setting.device.type),
            devices=processes.size // processes.num_nodes,
            num_nodes=processes.num_nodes,
            strategy=SingleDeviceStrategy(setting.device) if processes.size == 1 else DDPStrategy(),
            plugins=[ENVIRONMENTS[processes.launcher](), AtomicCheckpoints()],
            precision=course.precision,  # type: ignore[arg-type]
            max_epochs=course.num_epochs,
            callbacks=[*callbacks, *_told(setting, course.num_steps)],
            logger=list(setting.loggers),
            default_root_dir=course.folder,
            deterministic=course.deterministic,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        try:
            trainer.fit(module, data, ckpt_path=resume, weights_only=True)
        except SystemExit as stop:
            # Lightning turns Ctrl-C into an exit with code 1, which looks like a failure, and is deaf to the next one.
            if isinstance(stop.__context__, KeyboardInterrupt):
                signal.signal(signal.SIGINT, signal.default_int_handler)
                raise KeyboardInterrupt from None
            raise


def _told(setting: Setting, num_steps: int | None) -> list[Callback]:
    callbacks: list[Callback] = [SigtermAsBefore()] if setting.processes.size > 1 else []
    return [*callbacks, TrainingProgress(num_steps)] if setting.progress_bar else callbacks


@contextmanager
def _deterministic_kernels() -> Iterator[None]:
    """Lightning's `deterministic` is a switch of the whole process: put it back afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """No lines about devices that are absent, and no advice that does not apply: losses are reduced before logging."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in ("many workers", "smaller than the logging", "sync_dist=True", "LeafSpec", "in eval mode"):
                warnings.filterwarnings("ignore", message=f".*{message}")
            yield
    finally:
        logger.setLevel(level)
