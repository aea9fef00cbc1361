"""Where the training curves go besides training.csv: nowhere, Weights & Biases or TensorBoard."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldennoise.errors import ConfigError, one_line, require
from goldennoise.store.options import Check, Options, one_of, option

if TYPE_CHECKING:
    import numpy as np
    from lightning.pytorch.loggers import Logger

MODES = ("offline", "online", "disabled")
_PROJECT = Check(re.compile(r"[^/\\#?%:]{1,128}").fullmatch, "a name of at most 128 characters without / \\ # ? % :")


@dataclass(frozen=True)
class LoggerConfig(Options):
    """Where training curves go beside training.csv."""

    kind: str = option("csv", one_of("csv", "wandb", "tensorboard"))
    """csv for training.csv alone, wandb or tensorboard."""
    project: str = option("goldennoise", _PROJECT)
    """Of Weights & Biases, at most 128 characters."""
    mode: str | None = option(None, one_of(*MODES))
    """Of Weights & Biases: online, offline or disabled; offline needs no key and no network, `wandb sync` uploads
    later. Null takes the environment variable WANDB_MODE, offline where that is not set."""


def build(config: LoggerConfig, folder: Path, name: str) -> "list[Logger]":
    """The loggers of a run called `name`; their files go below `folder`. For the first process only.

    Raises `ConfigError` if Weights & Biases refuses to start, for want of a key for instance.
    """
    if config.kind == "csv":
        return []
    folder.mkdir(parents=True, exist_ok=True)
    if config.kind == "tensorboard":
        from lightning.pytorch.loggers import TensorBoardLogger

        return [TensorBoardLogger(folder, name="", version="tensorboard")]
    return [_wandb(config, folder, name)]


def _wandb(config: LoggerConfig, folder: Path, name: str) -> "Logger":
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    mode = config.mode or os.environ.get("WANDB_MODE") or "offline"
    require(mode in MODES, "WANDB_MODE", mode, f"one of {', '.join(MODES)}")
    # Lightning's own `offline` would set WANDB_MODE for all that follows in this process.
    logger = WandbLogger(name=name, project=config.project, save_dir=folder, log_model=False, mode=mode)
    try:
        logger.experiment  # noqa: B018  starts the run, so that a missing key shows before anything is trained
    except wandb.Error as error:
        raise ConfigError(
            f"logger.mode={mode}: Weights & Biases did not start ({one_line(str(error), 300)}); log in with `wandb "
            "login`, or set logger.mode=offline"
        ) from None
    return logger


def log_images(logger: "Logger", images: "Sequence[np.ndarray]", captions: Sequence[str], step: int) -> None:
    """images: (height, width, 3), uint8, one per caption."""
    from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

    if isinstance(logger, WandbLogger):
        logger.log_image("samples", list(images), step=step, caption=list(captions))
    elif isinstance(logger, TensorBoardLogger):
        for number, (image, caption) in enumerate(zip(images, captions, strict=True), start=1):
            logger.experiment.add_image(f"samples/{number}: {caption}", image, step, dataformats="HWC")


@contextmanager
def opened(config: LoggerConfig, folder: Path, name: str, is_first: bool) -> "Iterator[list[Logger]]":
    """The loggers of a run, for its first process; closed at the end, whatever the end.

    Weights & Biases would otherwise keep its run open until the process ends.
    """
    chosen = build(config, folder, name) if is_first else []
    try:
        yield chosen
    finally:
        if chosen and config.kind == "wandb":
            chosen[0].experiment.finish()  # type: ignore[attr-defined]
