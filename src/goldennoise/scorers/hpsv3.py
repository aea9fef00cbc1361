"""HPSv3 (Ma et al., arXiv 2508.03789): human preference as a fine-tuned Qwen2-VL-7B predicts it.

Its package pins versions that exclude ours, so it runs in a process of its own.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.scorers.isolated.process import ProcessConfig, ProcessScorer
from goldennoise.store.options import option

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """The environment of its package."""

    kind: str = "hpsv3"
    command: str = option(
        "uv run --isolated --no-project --python 3.11 --with hpsv3==1.0.0 --with matplotlib --with tensorboard python",
        identity=False,
    )
    """The package imports matplotlib and tensorboard without requiring them."""


def version(config: Config) -> None:
    """Not known before the process says it."""


def build(config: Config, device: "torch.device") -> ProcessScorer:
    """Raises `ScorerError` if the process cannot be started; its last words say why."""
    return ProcessScorer("hpsv3", "HPSv3", config, ["hpsv3", str(device)])
