"""Densities of noise levels, by log SNR: what training draws them from, and where sampling may take its steps.

One file each. The log SNR of x = sqrt(a) x_0 + sqrt(1 - a) noise, with a = alpha-bar, is log(a / (1 - a)).
"""

from collections.abc import Mapping
from dataclasses import fields
from types import ModuleType
from typing import TYPE_CHECKING, Any

from goldennoise.errors import ConfigError, nearest, require, shortened
from goldennoise.runtime import registry

if TYPE_CHECKING:
    import numpy as np

    from goldennoise.diffusion.noise_levels.base import NoiseLevels

PARTS = ("base", "table", "truncation")
"""Modules that densities share; every other is a density."""


def kinds() -> list[str]:
    """Names of the densities."""
    return registry.kinds(__name__, parts=PARTS)


def component(kind: str) -> ModuleType:
    """The module of a density, with its `Config` and `build(config, alpha_bars)`, which gives a `NoiseLevels`.

    alpha_bars: of the model's training schedule, float64 (T,). Raises `ConfigError` for an unknown name.
    """
    return registry.component(__name__, "density of noise levels", kind, kinds())


def built(config: Any, alpha_bars: "np.ndarray") -> "NoiseLevels":
    """The density of a Config, on the training schedule alpha_bars (T,), float64."""
    levels: NoiseLevels = component(config.kind).build(config, alpha_bars)
    return levels


def configured(kind: str, options: Mapping[str, Any]) -> Any:
    """The `Config` of a density with these options, for callers without YAML.

    Raises `ConfigError` for an unknown name, and for a value that is no number.
    """
    require(isinstance(kind, str), "kind", repr(kind), f"one of {', '.join(kinds())}")
    config = component(kind).Config
    known = sorted(field.name for field in fields(config) if field.name != "kind")
    for name, value in options.items():
        if name not in known:
            choices = f"choose from {', '.join(known)}" if known else f"{kind} has none"
            raise ConfigError(
                f"{name}={shortened(value)}: there is no option {shortened(name)} in {kind}; "
                f"{choices}{nearest(name, known)}"
            )
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        require(is_number, name, repr(value), "a number")
    return config(**options)
