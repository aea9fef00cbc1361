"""The source noise as it is: what every other method is compared with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import MethodTools, SampleBatch


@dataclass(frozen=True)
class Config:
    kind: str = "standard"


class Standard:
    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":  # noqa: ARG002
        return batch.source


def build(config: Config, tools: "MethodTools") -> Standard:  # noqa: ARG001
    return Standard()
