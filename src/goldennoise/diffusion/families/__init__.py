"""Model families: one module each with a `Config`, `build(config, device)`, the class names of the diffusers pipelines
it takes (`PIPELINES`) and `from_pipeline(pipe, negative_prompt)`; or a row of the table of those that differ in names
and defaults alone.
"""

from types import ModuleType

from goldennoise.diffusion.families.table import FAMILIES, Family
from goldennoise.runtime import registry

PARTS = ("latent_dit", "latent_flow", "latent_flux", "latent_unet", "table")
"""Modules that families share; every other is a family."""


def kinds() -> list[str]:
    """Names of the families."""
    return sorted([*FAMILIES, *registry.kinds(__name__, PARTS)])


def component(kind: str) -> ModuleType | Family:
    """The module of a family, or its row. Raises `ConfigError` for one that does not exist."""
    return FAMILIES.get(kind) or registry.component(__name__, "kind of model", kind, kinds())


def pipelines() -> dict[str, ModuleType | Family]:
    """Class name of every supported diffusers pipeline -> the family that takes it."""
    return {name: family for family in map(component, kinds()) for name in family.PIPELINES}
