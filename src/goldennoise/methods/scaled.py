"""The source noise times a number: a control for golden noise whose norm is not that of its source."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from goldennoise import methods
from goldennoise.errors import ConfigError
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.store.options import POSITIVE, filled, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools


@dataclass(frozen=True)
class Config(MethodConfig):
    """The factor, and the method whose norm is taken."""

    control: ClassVar[str | None] = "noise"

    kind: str = "scaled"
    factor: float = option(1.0, POSITIVE)
    """Of the source noise, above 0."""
    norm_of: str | None = option(None, filled("the name of a method of the run"))
    """The method of the run, such as re_denoise, to whose golden noise's norm each source noise is scaled before; null
    for none."""

    def methods(self) -> tuple[str, ...]:
        return () if self.norm_of is None else (self.norm_of,)


class Scaled(Method):
    """norms: the method whose norms are taken, None for those of the source."""

    def __init__(self, factor: float, norms: Method | None) -> None:
        self.factor = factor
        self.norms = norms

    def prepare(self, model: "DiffusionModel") -> None:
        if self.norms is not None:
            self.norms.prepare(model)

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        factors: float | Tensor = self.factor
        if self.norms is not None:
            golden = self.norms.plan(model, batch).noise
            ratios = golden.float().flatten(1).norm(dim=1) / batch.source.float().flatten(1).norm(dim=1)
            factors = factors * ratios.view(-1, 1, 1, 1)
        return (batch.source.float() * factors).to(batch.source.dtype)


def build(config: Config, tools: "MethodTools") -> Scaled:
    """Raises `ConfigError` when the run does not have the method, or it is another `scaled`."""
    if config.norm_of is None:
        return Scaled(config.factor, None)
    others = {name: other for name, other in tools.methods.items() if other.kind != config.kind}
    if config.norm_of not in others:
        known = ", ".join(others) or "none"
        raise ConfigError(f"norm_of={config.norm_of}: scaled needs another method of the run; the run has {known}")
    return Scaled(config.factor, methods.build(others[config.norm_of], tools))
