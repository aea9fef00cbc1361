"""VQAScore (Lin et al., arXiv 2404.01291): how probable "Yes" is as the answer to whether the image shows the prompt.

Its package, t2v-metrics, pins versions that exclude ours, so it runs in a process of its own. What it declares to need
cannot be installed as it stands; docs/scorers.md says how its environment is made.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.scorers.isolated.process import ProcessConfig, ProcessScorer
from goldennoise.store.options import option

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """The environment of its package, and the model."""

    kind: str = "vqascore"
    model: str = "clip-flant5-xxl"
    """One of the package's; the paper's best is clip-flant5-xxl, of 11 billion parameters."""
    command: str = option("vqascore/bin/python", identity=False)
    """A Python that has the package, which installs only beside old versions of torch."""


def version(config: Config) -> None:
    """Not known before the process says it."""


def build(config: Config, device: "torch.device") -> ProcessScorer:
    """Raises `ScorerError` if the process cannot be started; its last words say why."""
    return ProcessScorer("vqascore", "probability of yes", config, ["vqascore", str(device), config.model])
