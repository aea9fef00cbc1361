"""What turns source noise into the noise that sampling starts from.

A method is one module here with a `Config`, a `MethodConfig`, and `build(config, tools)`, which gives a `Method`.
One after a published method has `DIFFERS` too, the sentence in which a report says that it is not the published one.
One that reads files of the user's has an `identity(config)` too, which tells their content.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from goldennoise.diffusion.evaluations import ZERO, Amount, Sampling
from goldennoise.methods.base import Method, OnSphere
from goldennoise.runtime import registry
from goldennoise.store.identity import deciding

if TYPE_CHECKING:
    from goldennoise.methods.tools import MethodTools

__all__ = ["Method", "build", "component", "control_of", "golden_evaluations", "identity", "kinds"]

PARTS = ("base", "protocol", "search", "tools")
"""Modules that methods share; every other is a method."""


def kinds() -> list[str]:
    """Names of the methods."""
    return registry.kinds(__name__, parts=PARTS)


def component(kind: str) -> ModuleType:
    """The module of a method. Raises `ConfigError` for one that does not exist."""
    return registry.component(__name__, "kind of method", kind, kinds())


def control_of(kind: str) -> str | None:
    """What of sampling a kind of method is a control of, see `MethodConfig.control`; None for one that is not here."""
    control: str | None = component(kind).Config.control if kind in kinds() else None
    return control


def identity(config: Any) -> dict[str, Any]:
    """What decides the golden noise: the options, or what a module's own `identity` makes of them."""
    told: dict[str, Any] = getattr(component(config.kind), "identity", deciding)(config)
    return told


def golden_evaluations(config: Any, chosen: Mapping[str, Any], sampling: Sampling) -> Amount:
    """Of the model for the golden noise of a sample, with that of the run's methods it uses. chosen: these, by name."""
    parts = [config, *(chosen[name] for name in config.methods() if name in chosen)]
    return sum((part.golden_evaluations(sampling) for part in parts), ZERO)


def build(config: Any, tools: "MethodTools") -> Method:
    """The method of a config. Raises what its module's `build` raises for what it cannot be built from."""
    method: Method = component(config.kind).build(config, tools)
    return OnSphere(method) if config.keep_norm else method
