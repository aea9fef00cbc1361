"""What says how good an image will be before it is finished.

A predictor is one module here with `READS`, the samples that it reads beside those it predicts, and
`build(selector)`, which gives a `Predictor` (`base.py` here). None imports torch when it loads.
"""

from types import ModuleType

from goldennoise.runtime import registry

PARTS = ("base", "ridge")
"""Modules that predictors share; every other is a predictor."""


def kinds() -> list[str]:
    """Names of the predictors."""
    return registry.kinds(__name__, parts=PARTS)


def component(kind: str) -> ModuleType:
    """The module of a predictor. Raises `ConfigError` for one that does not exist."""
    return registry.component(__name__, "predictor", kind, kinds())
