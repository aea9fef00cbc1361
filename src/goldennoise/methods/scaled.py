"""The source noise times a number: a control for golden noise whose norm is not that of its source."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from goldennoise import methods
from goldennoise.errors import ConfigError, require
from goldennoise.methods.base import Method, MethodConfig
from goldennoise.store.options import POSITIVE, filled, option

if TYPE_CHECKING:
    from torch import Tensor

    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.methods.protocol import SampleBatch
    from goldennoise.methods.tools import MethodTools


@dataclass(frozen=True)
class Config(MethodConfig):
    """A factor, or the method whose norm is taken; one of the two."""

    control: ClassVar[str | None] = "noise"

    kind: str = "scaled"
    factor: float | None = option(None, POSITIVE)
    """Of the source noise, above 0; null for `norm_of`."""
    norm_of: str | None = option(None, filled("the name of a method of the run"))
    """The method of the run to whose golden noise's norm each source noise is scaled, such as re_denoise; null for
    `factor`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = (self.factor is None) != (self.norm_of is None)
        require(fits, "factor", self.factor, "a number with norm_of=null, or null with norm_of=METHOD")


class Scaled(Method):
    """by: a factor, or the method that gives the norms."""

    def __init__(self, by: float | Method) -> None:
        self.by = by

    def golden(self, model: "DiffusionModel", batch: "SampleBatch") -> "Tensor":
        if not isinstance(self.by, Method):
            return batch.source * self.by
        golden = self.by.plan(model, batch).noise
        factors = golden.float().flatten(1).norm(dim=1) / batch.source.float().flatten(1).norm(dim=1)
        return (batch.source.float() * factors.view(-1, 1, 1, 1)).to(batch.source.dtype)


def build(config: Config, tools: "MethodTools") -> Scaled:
    """Raises `ConfigError` when the run does not have the method, or it is another `scaled`."""
    if config.factor is not None:
        return Scaled(config.factor)
    others = {name: other for name, other in tools.methods.items() if other.kind != config.kind}
    if config.norm_of is None or config.norm_of not in others:
        known = ", ".join(others) or "none"
        raise ConfigError(f"norm_of={config.norm_of}: scaled needs another method of the run; the run has {known}")
    return Scaled(methods.build(others[config.norm_of], tools))
