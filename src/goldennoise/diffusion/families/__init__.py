"""Model families: one module each with a `Config`, `build(config, device)`, the class names of the diffusers pipelines
it takes (`PIPELINES`) and `from_pipeline(pipe, negative_prompt)`.
"""

from types import ModuleType

from goldennoise.runtime import registry

PARTS = ("latent_dit", "latent_flow", "latent_flux", "latent_unet")
"""Modules that families share; every other is a family."""


def kinds() -> list[str]:
    """Names of the families."""
    return registry.kinds(__name__, PARTS)


def component(kind: str) -> ModuleType:
    """The module of a family. Raises `ConfigError` for one that does not exist."""
    return registry.component(__name__, "kind of model", kind, kinds())


def pipelines() -> dict[str, ModuleType]:
    """Class name of every supported diffusers pipeline -> the family that takes it."""
    return {name: family for family in map(component, kinds()) for name in family.PIPELINES}
